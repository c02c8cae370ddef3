//! Packs the index of a large fleet on a thread of its own while the driver goes on. What it finds is
//! the same before and after; only how fast differs.

use cloud_core_logic::Cloud;
use cloud_core_logic::placement::{Repack, Repacked, Repacking};
use tokio::task::{JoinHandle, spawn_blocking};

/// What is under way.
#[derive(Debug, Default)]
pub(super) struct Packing(Option<JoinHandle<Repacked>>);

impl Packing {
    /// Begins where there is something to do, and takes what has come of it. Never waits.
    pub(super) async fn look(&mut self, cloud: &mut Cloud) {
        let Self(under_way) = self;
        match under_way.take_if(|work| work.is_finished()) {
            Some(work) => *under_way = took(cloud, work.await),
            None if under_way.is_none() => *under_way = cloud.begin_repack().map(begin),
            None => {}
        }
    }
}

fn begin(repack: Repack) -> JoinHandle<Repacked> {
    spawn_blocking(|| repack.work())
}

fn took(
    cloud: &mut Cloud,
    worked: Result<Repacked, tokio::task::JoinError>,
) -> Option<JoinHandle<Repacked>> {
    match worked.map(|packed| cloud.end_repack(packed)) {
        Ok(Repacking::GoesOn(repack)) => Some(begin(repack)),
        Ok(Repacking::Done(old)) => {
            // To let go of a large index takes its time as well.
            drop(spawn_blocking(|| drop(old)));
            None
        }
        Err(error) => {
            tracing::warn!(%error, "the index of the fleet could not be packed anew; it serves as it is");
            cloud.abandon_repack();
            None
        }
    }
}
