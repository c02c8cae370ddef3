//! What is asked of a fleet: the ordinary, and what is hard on an index.

use cloud_core_logic::placement::Policy;
use shared::geo::Area;
use shared::spec::{Near, Run, TaskSpec};

use super::fleet::{Dice, Spread};

/// A kind of question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Within 50 km of a point; 300 km where agents are anywhere.
    Radius,
    /// As near to a point as may be.
    Near,
    /// Anywhere.
    Anywhere,
    /// Inside a star of forty corners, some 400 km across.
    Polygon,
    /// With a label that one agent in a hundred thousand has.
    RareLabel,
    /// With a camera, which one in five has, and each once.
    Device,
    /// Anywhere, under a policy that fills agents up.
    Packing,
    /// With two labels that many agents have, and none has both.
    LabelsThatNeverMeet,
    /// More memory than hardly any agent has free.
    Scarce,
    /// More than any agent has.
    Impossible,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Radius => "radius",
            Self::Near => "near a point, no radius",
            Self::Anywhere => "no location",
            Self::Polygon => "polygon",
            Self::RareLabel => "label of 1 in 100,000",
            Self::Device => "a camera",
            Self::Packing => "packing, no location",
            Self::LabelsThatNeverMeet => "labels that never meet",
            Self::Scarce => "nearly nobody has the memory",
            Self::Impossible => "nobody has the memory",
        }
    }

    /// A question of the kind.
    pub fn ask(self, spread: &Spread, dice: &mut Dice) -> (TaskSpec, Policy) {
        let mut spec = TaskSpec::new(Run::Noop {});
        spec.needs.cpu_millis = dice.pick(&[250, 500, 1_000, 2_000]);
        spec.needs.memory_mib = dice.pick(&[256, 512, 1_024, 2_048]);
        let position = spread.place(dice);
        let near = |within_m| Some(Near { position, within_m });
        let yes = || "yes".to_owned();
        match self {
            Self::Radius => {
                let uniform = matches!(spread, Spread::Uniform);
                spec.place.near = near(Some(if uniform { 300_000.0 } else { 50_000.0 }));
            }
            Self::Near => spec.place.near = near(None),
            Self::Polygon => {
                spec.place.area = Some(star(position.latitude(), position.longitude()))
            }
            Self::RareLabel => {
                spec.place.labels.insert("rare".to_owned(), yes());
            }
            Self::Device => {
                spec.needs.devices.insert("camera".to_owned(), 1);
            }
            Self::LabelsThatNeverMeet => {
                spec.place.labels = ["left", "right"].map(|key| (key.to_owned(), yes())).into();
            }
            Self::Scarce => (spec.place.near, spec.needs.memory_mib) = (near(None), 63_999),
            Self::Impossible => spec.needs.memory_mib = 65_000,
            Self::Anywhere | Self::Packing => {}
        }
        (spec, Policy { packing: self == Self::Packing, ..Policy::default() })
    }
}

fn star(latitude: f64, longitude: f64) -> Area {
    let (latitude, longitude) = (latitude.clamp(-80.0, 80.0), longitude.clamp(-170.0, 170.0));
    let corner = |at: usize| {
        let angle = std::f64::consts::TAU * (at % 40) as f64 / 40.0;
        let radius = if at.is_multiple_of(2) { 2.0 } else { 1.2 };
        [longitude + radius * angle.cos(), latitude + radius * angle.sin()]
    };
    let ring: Vec<[f64; 2]> = (0..=40).map(corner).collect();
    let star = serde_json::json!({"type": "Polygon", "coordinates": [ring]});
    let star = Area::from_geojson(&star).expect("a star is an area");
    // Its circle is made once, when a task is submitted; that is no part of a placement.
    let _ = star.bounds();
    star
}
