//! I/O that both towers need, and no decisions: the clock, the sealed link over MQTT, SQLite,
//! files, configuration, logs and signals. Names `shared` and nothing else of ours.

pub mod clock;
pub mod config;
pub mod disk;
pub mod link;
pub mod seal;
pub mod secret;
pub mod shutdown;
pub mod sqlite;
pub mod table;
pub mod telemetry;
pub mod zones;
