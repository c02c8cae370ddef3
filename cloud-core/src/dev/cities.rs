//! The built-in list of cities, most populous first, and what kind of board stands in each of them
//! in a development fleet. The list is GeoNames data (CC BY 4.0, see `data/README.md`).

use shared::geo::{Position, distance_m};

const CITIES: &str = include_str!("../../data/cities.csv");

/// Where the core of a development fleet pretends to be: Frankfurt.
const CORE: (f64, f64) = (50.1109, 8.6821);
/// Light in fibre does about 200 km in a millisecond, there and back, on a path half as long again
/// as the great circle.
const ROUND_TRIP_MS_PER_M: f64 = 2.0 * 1.5 / 200_000.0;
/// What every link takes beside the way, in milliseconds.
const ROUND_TRIP_MS_LEAST: f64 = 4.0;

/// A city with a board in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// The agent's id, made of the city's name.
    pub id: String,
    /// The city's name.
    pub city: String,
    /// Its country, ISO 3166-1 alpha-2.
    pub country: String,
    /// Its continent, as its time zone names it.
    pub region: String,
    /// Where it is.
    pub position: Position,
    /// The board that stands there.
    pub board: &'static Board,
    /// The round trip its link is made to take, in milliseconds.
    pub round_trip_ms: f64,
}

/// A kind of board.
#[derive(Debug, PartialEq, Eq)]
pub struct Board {
    /// What it is called.
    pub name: &'static str,
    /// Its capacity, as `--capacity` takes it.
    pub capacity: &'static str,
    /// Its labels, as `--label` takes them.
    pub labels: &'static [&'static str],
    /// How many tasks it holds at once.
    pub tasks_max: u32,
}

const BOARDS: [Board; 4] = [
    Board {
        name: "pi-5",
        capacity: "cpu_millis=4000,memory_mib=8192,disk_mib=32768,bandwidth_kbps=100000",
        labels: &["board=pi-5", "sensor=pm25"],
        tasks_max: 16,
    },
    Board {
        name: "pi-zero",
        capacity: "cpu_millis=1000,memory_mib=512,disk_mib=8192,bandwidth_kbps=10000",
        labels: &["board=pi-zero"],
        tasks_max: 4,
    },
    Board {
        name: "jetson",
        capacity: "cpu_millis=6000,memory_mib=8192,disk_mib=65536,bandwidth_kbps=100000,device.camera=1",
        labels: &["board=jetson", "sensor=camera"],
        tasks_max: 16,
    },
    Board {
        name: "pi-4",
        capacity: "cpu_millis=4000,memory_mib=4096,disk_mib=16384,bandwidth_kbps=100000",
        labels: &["board=pi-4", "sensor=pm25"],
        tasks_max: 8,
    },
];

/// The most sites there are.
#[must_use]
pub fn sites_max() -> usize {
    CITIES.lines().count() - 1
}

/// The `count` most populous cities with a board in each.
#[must_use]
pub fn sites(count: usize) -> Vec<Site> {
    let mut sites: Vec<Site> = Vec::with_capacity(count);
    for (index, line) in CITIES.lines().skip(1).enumerate().take(count) {
        let Some(mut site) = site(line, &BOARDS[index % BOARDS.len()]) else {
            continue;
        };
        let like = |other: &&Site| other.city == site.city;
        let namesakes = sites.iter().filter(like).count();
        if namesakes > 0 {
            site.id = format!("{}-{}", site.id, namesakes + 1);
        }
        sites.push(site);
    }
    sites
}

fn site(line: &str, board: &'static Board) -> Option<Site> {
    let mut fields = line.split(',');
    let (city, country) = (fields.next()?, fields.next()?);
    let (latitude, longitude) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let zone = fields.nth(1)?;
    let position = Position::new(latitude, longitude).ok()?;
    let core = Position::new(CORE.0, CORE.1).ok()?;
    Some(Site {
        id: slug(city),
        city: city.to_owned(),
        country: country.to_owned(),
        region: slug(zone.split('/').next().unwrap_or(zone)),
        position,
        board,
        round_trip_ms: ROUND_TRIP_MS_LEAST + distance_m(core, position) * ROUND_TRIP_MS_PER_M,
    })
}

/// A name in the characters that an agent id may have.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for character in name.chars().flat_map(char::to_lowercase) {
        match character {
            'a'..='z' | '0'..='9' => slug.push(character),
            'à'..='å' | 'ā' | 'ă' => slug.push('a'),
            'è'..='ë' | 'ē' => slug.push('e'),
            'ì'..='ï' | 'ī' | 'ı' => slug.push('i'),
            'ò'..='ö' | 'ō' => slug.push('o'),
            'ù'..='ü' | 'ū' => slug.push('u'),
            'ç' => slug.push('c'),
            'ñ' => slug.push('n'),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    let slug = slug.trim_end_matches('-');
    slug.chars().take(shared::id::AGENT_ID_LENGTH_MAX - 4).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::id::AgentId;
    use std::collections::BTreeSet;

    #[test]
    fn every_city_has_a_board_with_an_id_of_its_own() {
        let all = sites(sites_max());
        assert_eq!(all.len(), sites_max());
        let ids: BTreeSet<AgentId> =
            all.iter().map(|site| site.id.parse().expect("an id")).collect();
        assert_eq!(ids.len(), all.len());
    }

    #[test]
    fn the_list_begins_with_the_most_populous() {
        let first = &sites(12)[0];
        assert_eq!((first.id.as_str(), first.region.as_str()), ("shanghai", "asia"));
        assert!(first.round_trip_ms > 100.0 && first.round_trip_ms < 200.0);
        assert_eq!(sites(12)[11].id, "sao-paulo");
    }
}
