//! The harness of the end-to-end tests: real binaries, a real broker, real processes that are
//! killed. Owns every process it starts and every file it makes, and nothing outside its scratch
//! folder; it decides nothing about what is right, the tests do.

pub mod agent;
pub mod api;
pub mod binaries;
pub mod broker;
pub mod builder;
pub mod certificates;
pub mod cluster;
pub mod collector;
pub mod core;
pub mod daemon;
pub mod events;
pub mod evidence;
pub mod hosts;
pub mod http;
pub mod link;
pub mod port;
pub mod random;
pub mod scratch;
pub mod spec;
pub mod wait;

pub use agent::{Agent, AgentSetup};
pub use api::Api;
pub use broker::BrokerKind;
pub use builder::ClusterBuilder;
pub use cluster::Cluster;
pub use evidence::Evidence;
pub use hosts::Hosts;
pub use link::FaultyLink;
pub use random::Random;
pub use scratch::Scratch;
pub use wait::{PATIENCE, eventually};

/// Makes two tests of each function named: one with the broker inside the core, one with
/// Mosquitto. The functions take a [`BrokerKind`].
#[macro_export]
macro_rules! on_both_brokers {
    ($($name:ident),+ $(,)?) => {
        mod embedded {
            $(#[test] fn $name() { super::$name($crate::BrokerKind::Embedded) })+
        }
        mod mosquitto {
            $(#[test] fn $name() { super::$name($crate::BrokerKind::Mosquitto) })+
        }
    };
}
