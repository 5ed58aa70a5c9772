//! What there is on a target before the load begins: the feed, page by page, as a guest sees it.
//!
//! Owns the walk and what must be true of it: pages follow each other strictly back in time, all but the last of one
//! length, no video twice. Later answers are compared with it. Never writes.

use std::collections::HashSet;
use std::fmt::Write as _;

use crate::accounts::PATIENCE;
use crate::contract::{Feed, read_feed};
use crate::failure::Failure;
use crate::http::{Connection, Target};

/// A page of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// What `latest_time` asked for; `None` for the newest.
    pub latest_time: Option<i64>,
    /// What the answer said.
    pub next_time: Option<i64>,
    /// Ids and counts of likes, newest first.
    pub videos: Vec<(i64, i64)>,
}

impl Page {
    /// The question for this page, without a token.
    pub fn path(&self) -> String {
        let mut path = String::from("/douyin/feed/?");
        if let Some(time) = self.latest_time {
            // Writing to a String can't fail.
            let _ = write!(path, "latest_time={time}&");
        }
        path
    }

    /// The question of a viewer.
    pub fn path_for(&self, token: &str) -> String {
        format!("{}token={token}", self.path())
    }

    /// Whether an answer is this page: the same videos in the same order, the same way on.
    pub fn check(&self, feed: &Feed<'_>) -> Result<(), Failure> {
        let ids = feed.videos.iter().map(|video| video.id);
        if !ids.clone().eq(self.videos.iter().map(|(id, _)| *id)) {
            let expected: Vec<_> = self.videos.iter().map(|(id, _)| *id).collect();
            let seen: Vec<_> = ids.collect();
            return Err(Failure::Untrue(format!(
                "the page of latest_time {:?} has the videos {seen:?}, and had {expected:?}",
                self.latest_time
            )));
        }
        if feed.next_time != self.next_time {
            return Err(Failure::Untrue(format!(
                "next_time is {:?}, and was {:?} for the same page",
                feed.next_time, self.next_time
            )));
        }
        Ok(())
    }
}

/// Walks the feed from the newest page, at most `pages` of them. Empty where there are no videos.
pub async fn walk(target: &Target, pages: usize) -> Result<Vec<Page>, Failure> {
    let mut connection = Connection::new(target.clone());
    let (mut walked, mut seen) = (Vec::<Page>::new(), HashSet::new());
    let mut latest_time = None;
    while walked.len() < pages {
        let mut page = Page {
            latest_time,
            next_time: None,
            videos: Vec::new(),
        };
        let answer = connection.get_within(PATIENCE, &page.path()).await?;
        let feed = read_feed(answer.ok()?)?;
        page.next_time = feed.next_time;
        page.videos = feed
            .videos
            .iter()
            .map(|video| (video.id, video.favorite_count))
            .collect();
        // Past the end: an empty page, or the top again where a server wraps around by itself.
        if page.videos.is_empty()
            || walked
                .first()
                .is_some_and(|first| first.videos[0].0 == page.videos[0].0)
        {
            break;
        }
        if let Some(earlier) = walked.last() {
            follows(earlier, &page, walked[0].videos.len())?;
        }
        if let Some((id, _)) = page.videos.iter().find(|(id, _)| !seen.insert(*id)) {
            return Err(Failure::Untrue(format!("video {id} is on two pages of the feed")));
        }
        latest_time = page.next_time;
        walked.push(page);
    }
    Ok(walked)
}

fn follows(earlier: &Page, page: &Page, page_len: usize) -> Result<(), Failure> {
    if page.next_time >= earlier.next_time {
        return Err(Failure::Untrue(format!(
            "next_time goes from {:?} to {:?}, which is not back",
            earlier.next_time, page.next_time
        )));
    }
    if earlier.videos.len() != page_len {
        return Err(Failure::Untrue(format!(
            "a page of {} videos among pages of {page_len}, with more behind it",
            earlier.videos.len()
        )));
    }
    Ok(())
}
