//! Every step of one flush failed once: the connection cut before and after each packet, and every write refused. What
//! was acknowledged is flushed by the next try, nothing is counted twice, and nobody is told twice.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use ovation_schema::{UserId, VideoId};

use crate::harness::crowd::{self, Wish};
use crate::harness::mariadb::shared;
use crate::harness::{Kind, World, eventually, on_both_stores, process};

on_both_stores!(a_like_that_the_database_refuses_for_good_is_set_aside);

struct Scene {
    world: World,
    author: i64,
    videos: Vec<VideoId>,
    people: Vec<UserId>,
    pairs: BTreeSet<(i64, i64)>,
    ever: BTreeSet<(i64, i64)>,
    round: usize,
}

impl Scene {
    fn of(world: World) -> Self {
        let ann = world.register("ann");
        let videos = crowd::videos(&world, ann.id, 2);
        Self {
            author: ann.id,
            videos,
            people: crowd::people(&world, 40),
            pairs: BTreeSet::new(),
            ever: BTreeSet::new(),
            round: 0,
            world,
        }
    }

    /// Some new likes, and some that are taken back.
    fn changes(&mut self) {
        let person = |number: usize| self.people[number % self.people.len()];
        let round = self.round;
        self.round += 1;
        let wishes: Vec<Wish> = (0..6)
            .map(|number| {
                let at = round * 4 + number;
                // The second time round the other way.
                let on = number > 0 && (at / self.people.len()).is_multiple_of(2);
                (person(at), self.videos[number % 2], on)
            })
            .collect();
        crowd::like(&self.world, &wishes);
        self.pairs = crowd::wanted(&self.pairs, &wishes);
        self.ever.extend(&self.pairs);
    }

    fn is_exact(&self, at: &str) {
        let liked = i64::try_from(self.pairs.len()).unwrap();
        let seen = self.world.guest().profile_of(self.author).total_favorited;
        assert_eq!(seen, liked, "{at}");
    }

    /// Nothing is missing, nothing there twice.
    fn is_flushed(&self, at: &str) {
        eventually(at, Duration::from_secs(10), || {
            ovation::likes::flush(self.world.server().counters()).unwrap().ok()
        });
        self.is_exact(at);
        let mut connection = self.world.connection();
        crowd::is_stored_exactly(&mut connection, &self.pairs);
        let streams = crowd::told(&mut connection);
        let told: i64 = streams
            .get(&self.author)
            .map_or(0, |stream| stream.iter().map(|told| told.count).sum());
        assert_eq!(
            usize::try_from(told).unwrap(),
            self.ever.len(),
            "{at}: told of each once"
        );
    }
}

/// A way to MariaDB that can be cut in the middle of a transaction.
struct Wire {
    address: SocketAddr,
    plan: Arc<Plan>,
    over: Arc<AtomicBool>,
}

#[derive(Default)]
struct Plan(Mutex<Step>);

/// Packets until the cut, counted in both directions from the first "START TRANSACTION" on.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Step {
    #[default]
    Idle,
    Armed(usize),
    Counting(usize),
    Cut,
}

impl Plan {
    /// Whether this packet is the one that never arrives.
    fn cuts(&self, packet: &[u8], this: &AtomicBool) -> bool {
        let mut step = self.0.lock().unwrap();
        let begins = packet.windows(17).any(|bytes| bytes == b"START TRANSACTION");
        if let (Step::Armed(left), true) = (*step, begins) {
            *step = Step::Counting(left);
            this.store(true, Ordering::SeqCst);
        }
        if !this.load(Ordering::SeqCst) {
            return false;
        }
        match *step {
            Step::Counting(0) => {
                *step = Step::Cut;
                true
            }
            Step::Counting(left) => {
                *step = Step::Counting(left - 1);
                false
            }
            _ => false,
        }
    }

    fn arm(&self, packets: usize) {
        *self.0.lock().unwrap() = Step::Armed(packets);
    }

    /// True when the cut has happened.
    fn disarm(&self) -> bool {
        std::mem::take(&mut *self.0.lock().unwrap()) == Step::Cut
    }
}

impl Wire {
    fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (plan, over) = (Arc::new(Plan::default()), Arc::new(AtomicBool::new(false)));
        let (shared, ended) = (Arc::clone(&plan), Arc::clone(&over));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else {
                    continue;
                };
                let this = Arc::new(AtomicBool::new(false));
                for (from, into) in [(&client, &server), (&server, &client)] {
                    let (from, into) = (from.try_clone().unwrap(), into.try_clone().unwrap());
                    let (plan, this) = (Arc::clone(&shared), Arc::clone(&this));
                    std::thread::spawn(move || carry(from, into, &plan, &this));
                }
            }
        });
        Self { address, plan, over }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn carry(mut from: TcpStream, mut into: TcpStream, plan: &Plan, this: &AtomicBool) {
    let _ = into.set_nodelay(true);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = from.read(&mut buffer).unwrap_or(0);
        if length == 0 || plan.cuts(&buffer[..length], this) || into.write_all(&buffer[..length]).is_err() {
            let _ = from.shutdown(Shutdown::Both);
            let _ = into.shutdown(Shutdown::Both);
            return;
        }
    }
}

#[test]
fn mariadb_may_be_cut_off_before_and_after_every_packet_of_a_flush() {
    let wire = Wire::to(shared().port());
    let world = World::with(Kind::Mariadb, |config| {
        config.flush_interval = Duration::from_mins(1);
        let direct = config.database_url.as_ref().unwrap().expose().to_owned();
        let direct_port = format!(":{}/", shared().port());
        let through = direct.replace(&direct_port, &format!(":{}/", wire.address.port()));
        config.database_url = Some(through.parse().unwrap());
    });
    let mut scene = Scene::of(world);
    let mut cuts = 0;
    loop {
        scene.changes();
        wire.plan.arm(cuts);
        let flushed = ovation::likes::flush(scene.world.server().counters()).unwrap();
        if !wire.plan.disarm() {
            assert!(flushed.is_ok(), "{flushed:?}");
            break;
        }
        let at = format!("cut at packet {cuts}");
        scene.is_exact(&at);
        scene.is_flushed(&at);
        cuts += 1;
        assert!(cuts < 500, "a flush is not that long");
    }
    scene.is_flushed("without a cut");
    assert!(
        cuts > 20,
        "{cuts} packets were cut: each of some ten statements, and each answer"
    );
    println!("{cuts} packets, each cut once");
}

/// SQLite has no wire: its tables refuse. One trigger a statement that a flush sends.
#[test]
fn sqlite_may_refuse_every_write_of_a_flush() {
    let world = World::with(Kind::Sqlite, |config| config.flush_interval = Duration::from_mins(1));
    let mut scene = Scene::of(world);
    let writes = [
        "INSERT ON favorites",
        "UPDATE OF active ON favorites",
        "INSERT ON events",
        "UPDATE OF next_seq ON streams",
        "UPDATE OF favorite_count ON users",
        "UPDATE OF total_favorited ON users",
        "UPDATE OF favorite_count ON videos",
        "UPDATE OF position ON ledger_mark",
    ];
    let mut refused = BTreeSet::new();
    let mut connection = scene.world.connection();
    for (number, write) in writes.iter().cycle().take(3 * writes.len()).enumerate() {
        for when in ["BEFORE", "AFTER"] {
            scene.changes();
            let failure = ["disk I/O error", "database or disk is full", "database is locked"][number % 3];
            let trigger = format!("CREATE TRIGGER fault {when} {write} BEGIN SELECT RAISE(ABORT, '{failure}'); END");
            connection.batch_execute(&trigger).unwrap();
            let flushed = ovation::likes::flush(scene.world.server().counters()).unwrap();
            let at = format!("{failure} {when} {write}");
            if flushed.is_err() {
                refused.insert(*write);
            }
            scene.is_exact(&at);
            connection.batch_execute("DROP TRIGGER fault").unwrap();
            scene.is_flushed(&at);
        }
    }
    assert_eq!(refused.len(), writes.len(), "each was met: {refused:?}");
    let status = scene.world.server().counters().status();
    assert_eq!((status.quarantined, status.dropped), (0, 0));
}

/// All others are flushed, and it is shown to whoever asks.
fn a_like_that_the_database_refuses_for_good_is_set_aside(kind: Kind) {
    let mut world = World::with(kind, |config| config.flush_interval = Duration::from_millis(100));
    let ann = world.register("ann");
    let video = crowd::videos(&world, ann.id, 1)[0];
    let people = crowd::people(&world, 30);
    let culprit = people[17];
    let refuse = match kind {
        Kind::Sqlite => format!(
            "CREATE TRIGGER poison BEFORE INSERT ON favorites WHEN NEW.user_id = {culprit} \
             BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        ),
        Kind::Mariadb => format!(
            "CREATE TRIGGER poison BEFORE INSERT ON favorites FOR EACH ROW \
             IF NEW.user_id = {culprit} THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one'; END IF"
        ),
    };
    world.connection().batch_execute(&refuse).unwrap();
    let wishes: Vec<Wish> = people.iter().map(|user| (*user, video, true)).collect();
    crowd::like(&world, &wishes);
    let status = eventually("all others are flushed", Duration::from_secs(30), || {
        let status = world.server().counters().status();
        (status.waiting == 0).then_some(status)
    });
    assert_eq!((status.quarantined, status.dropped, status.problem), (1, 0, None));
    let mut pairs = crowd::wanted(&BTreeSet::new(), &wishes);
    pairs.remove(&(culprit.0, video.0));
    crowd::is_stored_exactly(&mut world.connection(), &pairs);
    let ready: serde_json::Value = serde_json::from_slice(&world.get("/readyz").body).unwrap();
    assert_eq!(ready["likes"]["set_aside"], 1);
    let told: i64 = crowd::told(&mut world.connection())[&ann.id]
        .iter()
        .map(|told| told.count)
        .sum();
    assert_eq!(told, 29);

    world.stop();
    let folder = world.data_dir().to_str().unwrap().to_owned();
    let output = process::run(&["ledger", "stat", "--data-dir", &folder]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(&format!("user {culprit}, video {video}")), "{said}");
    world.connection().batch_execute("DROP TRIGGER poison").unwrap();
    world.start_again();
    assert_eq!(
        world.guest().profile_of(ann.id).total_favorited,
        29,
        "what everybody sees is what there is"
    );
    crowd::like(&world, &[(culprit, video, true)]);
    assert_eq!(
        world.guest().profile_of(ann.id).total_favorited,
        30,
        "it can be done again"
    );
    world.flush();
    crowd::is_stored_exactly(&mut world.connection(), &crowd::wanted(&BTreeSet::new(), &wishes));
}
