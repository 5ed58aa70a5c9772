//! The stories, a file a noun.

mod bad_input;
mod both_stores;
mod comments;
mod disk_full;
mod favorites;
mod feed;
mod feed_walks;
mod filled;
mod golden;
mod life_cycle;
mod long_lists;
mod media;
mod messages;
mod official;
mod ops;
mod outage;
mod power_cut;
mod publish;
mod relations;
mod slow;
mod statements;
mod storm;
mod tokens;
mod transport;
mod uploads_refused;
mod users;
