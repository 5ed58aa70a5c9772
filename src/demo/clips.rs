//! The demo's clips on their way into the media folder, as uploads go.

use anyhow::Context as _;
use futures_util::future::join_all;

use crate::demo_world::CLIPS;
use crate::media::{Kept, Media, Sender};

/// How long a start waits for the covers. They take about 0.3 s; whatever is not there by then is made when somebody
/// first asks for it.
const COVERS_WAIT: std::time::Duration = std::time::Duration::from_secs(1);

/// Clips that are in the media folder and that no row may refer to yet.
pub struct KeptClips(Vec<Kept>);

impl KeptClips {
    /// Keeps every clip of the demo world and waits a moment for the covers, so that the first visitor sees real ones at
    /// once. A failure leaves nothing behind.
    pub async fn keep(media: &Media) -> anyhow::Result<Self> {
        let mut kept = Self(Vec::with_capacity(CLIPS.len()));
        for clip in &CLIPS {
            match keep(media, clip.bytes).await {
                Ok(clip) => kept.0.push(clip),
                Err(error) => {
                    kept.discard().await;
                    return Err(error).with_context(|| format!("the clip {} can't be stored", clip.name));
                }
            }
        }
        let covers = kept.0.iter().map(|clip| media.covers().get(clip.hash()));
        // A cover that is late or fails is not the start's business: it is tried again when it is asked for.
        let _ = tokio::time::timeout(COVERS_WAIT, join_all(covers)).await;
        Ok(kept)
    }

    /// The names to write into rows, in the order of [`CLIPS`].
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|kept| kept.hash().to_string()).collect()
    }

    /// The rows are written.
    pub fn commit(self) {
        self.0.into_iter().for_each(Kept::commit);
    }

    /// The rows were certainly not written. When that is not certain, drop this instead.
    pub async fn discard(self) {
        for kept in self.0 {
            kept.discard().await;
        }
    }
}

async fn keep(media: &Media, bytes: &[u8]) -> anyhow::Result<Kept> {
    // User 0 exists nowhere, so this takes nobody's place among the uploads.
    let mut spool = media.spool(Sender::User(0), bytes.len() as u64).await?;
    spool.write(bytes).await?;
    let (kept, _) = media.keep(spool.finish().await?).await?;
    Ok(kept)
}
