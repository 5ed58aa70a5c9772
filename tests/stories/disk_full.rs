//! A full disk: "try later", nothing half-written, and service again when there is room.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::media::cover_of;
use crate::harness::clip::{self, CLIP};
use crate::harness::{Kind, World, eventually, on_both_stores};

on_both_stores!(a_full_disk_refuses_and_recovers);

/// A small disk in memory over a folder, for as long as this lives. Declare it before what uses the folder.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None where nothing can be mounted here.
    pub fn over(folder: &Path) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=6m,mode=0700", "tmpfs"])
            .arg(folder)
            .output()
            .ok()?;
        mounted.status.success().then(|| Self(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
        let _ = std::fs::remove_dir(&self.0);
    }
}

fn a_full_disk_refuses_and_recovers(kind: Kind) {
    let mut disk = None;
    let world = World::with(kind, |config| disk = SmallDisk::over(&config.data_dir));
    let Some(_disk) = disk else {
        println!("not shown: a small disk can't be mounted here (that needs root and permission to mount)");
        return;
    };
    let ann = world.register("ann");
    let video = ann.publishes("before");
    ann.comments(&video, "before");
    cover_of(&world, &video);
    let before = world.files();

    let ballast = world.data_dir().join("ballast");
    let room = vec![0; 1 << 16];
    let mut file = std::fs::File::create(&ballast).unwrap();
    while std::io::Write::write_all(&mut file, &room).is_ok() {}
    // Space comes back only when nobody has the file open any more.
    drop(file);

    for number in 0..5 {
        let reply = ann.uploads("too much", &clip::of_length(200_000 + number));
        let refusal = reply.refused_as(&[200, 503, 507]);
        assert!(refusal.msg.contains("again"), "{refusal:?}");
    }
    assert_eq!(ann.works_of(ann.id).len(), 1, "reading goes on");
    assert_eq!(world.get(&video.play_url).body, CLIP);
    // A small write may find room in a page that is there already; then it must be kept.
    let mut kept = 1;
    for number in 0..300 {
        let reply = ann.comment(video.id, &format!("comment {number} {}", "界".repeat(150)));
        if reply.text().contains("\"status_code\":0") {
            kept += 1;
        } else {
            assert!(reply.refused().msg.contains("again"));
            if number > 20 {
                break;
            }
        }
    }
    assert_eq!(ann.comments_of(&video).len(), kept);
    assert_eq!(world.guest().sees(&video).comment_count, i64::try_from(kept).unwrap());
    assert_eq!(world.get("/healthz").status, 200);

    std::fs::remove_file(&ballast).unwrap();
    eventually("nothing is left of the refused uploads", Duration::from_secs(5), || {
        (world.files() == before).then_some(())
    });
    eventually("service is back", Duration::from_secs(10), || {
        let reply = ann.comment(video.id, "after");
        reply.text().contains("\"status_code\":0").then_some(())
    });
    ann.publishes("after");
    assert_eq!(ann.profile().work_count, 2);
    assert_eq!(ann.comments_of(&video).len(), kept + 1);
}
