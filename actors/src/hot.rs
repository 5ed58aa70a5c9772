//! Hot videos: which ones get the most likes at the moment.
//!
//! Owns a sliding window of one-second buckets, each with a bounded number of videos. Never counts for anybody's eyes: a
//! video's count comes from its row and the overlay.

use std::collections::{HashMap, VecDeque};

use ovation_schema::VideoId;

/// Seconds in the window.
const WINDOW: u64 = 60;
/// Videos a bucket holds. A video that gets more than one in a thousand of a second's likes is certainly among them.
const KEYS: usize = 1_000;

/// The window. Frequencies are those of Misra and Gries: never too high, and too low by at most a 1,001st of a second's
/// likes for each second. (Space-saving errs to the other side and needs a sorted structure for it.)
#[derive(Debug, Default)]
pub struct Hot {
    buckets: VecDeque<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    second: u64,
    likes: HashMap<VideoId, u64>,
}

impl Hot {
    /// Counts one like of `video` in `second`, which never goes back.
    pub fn record(&mut self, video: VideoId, second: u64) {
        self.expire(second);
        if self.buckets.back().is_none_or(|bucket| bucket.second < second) {
            self.buckets.push_back(Bucket {
                second,
                likes: HashMap::new(),
            });
        }
        if let Some(bucket) = self.buckets.back_mut() {
            bucket.record(video);
        }
    }

    /// The `n` videos with the most likes within the window that ends with `second`; the most liked first, then by id.
    pub fn top(&mut self, n: usize, second: u64) -> Vec<(VideoId, u64)> {
        self.expire(second);
        let mut sums: HashMap<VideoId, u64> = HashMap::new();
        for (video, likes) in self.buckets.iter().flat_map(|bucket| &bucket.likes) {
            *sums.entry(*video).or_default() += likes;
        }
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_unstable_by_key(|(video, likes)| (std::cmp::Reverse(*likes), *video));
        sums.truncate(n);
        sums
    }

    fn expire(&mut self, second: u64) {
        while self
            .buckets
            .pop_front_if(|bucket| bucket.second + WINDOW <= second)
            .is_some()
        {}
    }
}

impl Bucket {
    fn record(&mut self, video: VideoId) {
        if let Some(likes) = self.likes.get_mut(&video) {
            *likes += 1;
        } else if self.likes.len() < KEYS {
            self.likes.insert(video, 1);
        } else {
            // Paid for by the likes that were counted before: a whole pass at most once for every `KEYS` of them.
            self.likes.retain(|_, likes| {
                *likes -= 1;
                *likes > 0
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_within_the_window_and_forgets_what_is_older() {
        let mut hot = Hot::default();
        for _ in 0..3 {
            hot.record(VideoId(1), 10);
        }
        hot.record(VideoId(2), 40);
        hot.record(VideoId(3), 40);
        assert_eq!(hot.top(2, 69), [(VideoId(1), 3), (VideoId(2), 1)]);
        assert_eq!(hot.top(9, 70), [(VideoId(2), 1), (VideoId(3), 1)]);
        assert_eq!(hot.top(9, 100), []);
    }

    #[test]
    fn finds_a_hot_video_among_a_million_cold_ones_in_bounded_space() {
        let mut hot = Hot::default();
        for i in 0..1_000_000_i64 {
            let video = if i % 100 == 0 { 7 } else { 1_000 + i };
            hot.record(VideoId(video), 5);
            assert!(hot.buckets[0].likes.len() <= KEYS);
        }
        let (video, likes) = hot.top(1, 5)[0];
        assert_eq!(video, VideoId(7));
        let bound = 1_000_000 / (KEYS as u64 + 1);
        assert!((10_000 - bound..=10_000).contains(&likes), "{likes}");
    }
}
