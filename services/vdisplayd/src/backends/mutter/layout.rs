//! How GNOME's monitors lie beside each other, and how they should. No D-Bus calls here.
//!
//! Our own monitors are known by their product: each recording makes one, with a serial that counts up. The newest
//! comes first, at 0,0: there Mutter opens what wants the whole screen at once (48, 51; it does not look where the
//! pointer is). Windows stay on their monitor when it is moved (seen), so an older session keeps its own.

use std::collections::HashMap;

use lumen_ipc::Mode;
use serde::{Deserialize, Serialize};
use zbus::OwnedVariant;

/// What a monitor is called: connector, vendor, product, serial.
pub type Name = (String, String, String, String);
/// Id, width, height, refresh, preferred scale, scales, properties.
type WireMode = (String, i32, i32, f64, f64, Vec<f64>, HashMap<String, OwnedVariant>);
type WireMonitor = (Name, Vec<WireMode>, HashMap<String, OwnedVariant>);
/// x, y, scale, transform, primary, monitors, properties.
type WireLogical = (i32, i32, f64, u32, bool, Vec<Name>, HashMap<String, OwnedVariant>);
/// What `GetCurrentState` answers: serial, monitors, logical monitors, properties.
pub type WireState = (u32, Vec<WireMonitor>, Vec<WireLogical>, HashMap<String, OwnedVariant>);
/// One logical monitor as `ApplyMonitorsConfig` takes it: x, y, scale, transform, primary, (connector, mode,
/// properties).
pub type WireApply = (i32, i32, f64, u32, bool, Vec<(String, String, HashMap<String, OwnedVariant>)>);

/// Product of every monitor that Mutter (48, 51) makes for a recording.
const RECORDED: &str = "Virtual remote monitor";

/// Where our Outputs lie among the user's monitors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Topology {
    /// Beside them, where GNOME puts a new monitor.
    Extend,
    /// First and primary: GNOME's panel and new windows come there.
    Primary,
    /// They are switched off.
    Exclusive,
}

/// One place in the layout, with the monitors that show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Place {
    x: i32,
    y: i32,
    scale: f64,
    transform: u32,
    primary: bool,
    /// Connector and mode of each.
    monitors: Vec<(String, String)>,
    /// As it appears: scaled and turned.
    size: (i32, i32),
    /// The number that a recording's monitor bears.
    recorded: Option<u64>,
}

/// A layout that GNOME has.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    /// To be named when it is changed.
    pub serial: u32,
    /// All places.
    pub places: Vec<Place>,
    /// Connectors of all monitors, those that are off too.
    pub connectors: Vec<String>,
}

impl Layout {
    /// What `GetCurrentState` says.
    pub fn read(state: &WireState) -> Self {
        let (serial, monitors, logical, properties) = state;
        // 1 is logical, 2 physical, and without the property it is physical.
        let logical_sizes =
            properties.get("layout-mode").and_then(|mode| u32::try_from(&**mode).ok()) == Some(1);
        let places = logical.iter().map(|one| place(one, monitors, logical_sizes)).collect();
        let connectors = monitors.iter().map(|(name, ..)| name.0.clone()).collect();
        Self { serial: *serial, places, connectors }
    }

    /// Serial numbers of the monitors that recordings made.
    pub fn recorded(&self) -> impl Iterator<Item = u64> {
        self.places.iter().filter_map(|place| place.recorded)
    }

    /// The mode that the monitor of recording `number` has.
    pub fn shown(&self, number: u64) -> Option<Mode> {
        let place = self.places.iter().find(|place| place.recorded == Some(number))?;
        let (_, mode) = place.monitors.first()?;
        mode.parse().ok()
    }

    /// The places that are the user's own.
    pub fn own(&self) -> Vec<Place> {
        self.places.iter().filter(|place| place.recorded.is_none()).cloned().collect()
    }

    /// What is to be applied for `topology`; `None` if it is so already, or if no monitor is recorded.
    pub fn plan(&self, topology: Topology) -> Option<Vec<Place>> {
        let mut recorded: Vec<Place> =
            self.places.iter().filter(|place| place.recorded.is_some()).cloned().collect();
        if recorded.is_empty() || topology == Topology::Extend {
            return None;
        }
        recorded.sort_by_key(|place| std::cmp::Reverse(place.recorded));
        let mut right = 0;
        for place in &mut recorded {
            (place.x, place.y, place.primary) = (right, 0, right == 0);
            right += place.size.0;
        }
        if topology == Topology::Primary {
            recorded.extend(beside(self.own(), right));
        }
        normalise(&mut recorded);
        (!same(&recorded, &self.places)).then_some(recorded)
    }

    /// What is to be applied so that the user's monitors lie as in `before`; `None` if they do, or if other ones are
    /// there by now.
    pub fn restored(&self, before: &[Place]) -> Option<Vec<Place>> {
        let all_there = before
            .iter()
            .flat_map(|place| &place.monitors)
            .all(|(connector, _)| self.connectors.contains(connector));
        let wanted = !before.is_empty() && self.recorded().next().is_none() && all_there;
        (wanted && !same(before, &self.places)).then(|| before.to_vec())
    }
}

/// `places` moved as a whole to the right of `right`, the leftmost of them at the top, so that it touches what is
/// left of it: Mutter refuses a layout with a gap.
fn beside(mut places: Vec<Place>, right: i32) -> Vec<Place> {
    let Some((x, y)) = places.iter().map(|place| (place.x, place.y)).min() else { return places };
    for place in &mut places {
        place.x += right - x;
        place.y -= y;
        place.primary = false;
    }
    places
}

/// Mutter refuses a layout that does not begin at 0,0.
fn normalise(places: &mut [Place]) {
    let top = places.iter().map(|place| place.y).min().unwrap_or(0);
    places.iter_mut().for_each(|place| place.y -= top);
}

fn same(one: &[Place], other: &[Place]) -> bool {
    one.len() == other.len() && one.iter().all(|place| other.contains(place))
}

fn place(logical: &WireLogical, monitors: &[WireMonitor], logical_sizes: bool) -> Place {
    let (x, y, scale, transform, primary, names, _) = logical;
    let shown: Vec<&WireMonitor> =
        names.iter().filter_map(|name| monitors.iter().find(|monitor| monitor.0 == *name)).collect();
    let modes = shown.iter().filter_map(|(name, modes, _)| Some((name.0.clone(), current(modes)?.0.clone())));
    let pixels =
        shown.first().and_then(|monitor| current(&monitor.1)).map_or((0, 0), |mode| (mode.1, mode.2));
    let turned = if transform % 2 == 1 { (pixels.1, pixels.0) } else { pixels };
    let scaled = |side: i32| match logical_sizes {
        // Fits: a side has at most five digits.
        true => (f64::from(side) / scale).round() as i32,
        false => side,
    };
    Place {
        x: *x,
        y: *y,
        scale: *scale,
        transform: *transform,
        primary: *primary,
        monitors: modes.collect(),
        size: (scaled(turned.0), scaled(turned.1)),
        recorded: names.iter().find(|name| name.2 == RECORDED).map(|name| number(&name.3)),
    }
}

fn current(modes: &[WireMode]) -> Option<&WireMode> {
    modes
        .iter()
        .find(|mode| mode.6.get("is-current").is_some_and(|value| bool::try_from(&**value) == Ok(true)))
}

/// `0x00001f` → 31; a serial of another form counts as the oldest.
fn number(serial: &str) -> u64 {
    serial.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

/// As `ApplyMonitorsConfig` takes it.
pub fn to_wire(places: &[Place]) -> Vec<WireApply> {
    let monitors = |place: &Place| {
        place
            .monitors
            .iter()
            .map(|(connector, mode)| (connector.clone(), mode.clone(), HashMap::new()))
            .collect()
    };
    places
        .iter()
        .map(|place| (place.x, place.y, place.scale, place.transform, place.primary, monitors(place)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(
        connector: &str,
        place: (i32, i32),
        size: (i32, i32),
        primary: bool,
        recorded: Option<u64>,
    ) -> Place {
        let monitors = vec![(connector.to_owned(), format!("{}x{}@60.000", size.0, size.1))];
        Place { x: place.0, y: place.1, scale: 1.0, transform: 0, primary, monitors, size, recorded }
    }

    fn layout(places: Vec<Place>) -> Layout {
        let connectors =
            places.iter().flat_map(|place| &place.monitors).map(|(name, _)| name.clone()).collect();
        Layout { serial: 1, places, connectors }
    }

    /// Two monitors of the user's, the left one lower, and two recorded ones where Mutter puts them.
    fn desk() -> Layout {
        layout(vec![
            at("DP-1", (0, 200), (1920, 1080), true, None),
            at("DP-2", (1920, 0), (2560, 1440), false, None),
            at("Meta-0", (4480, 0), (1280, 720), false, Some(1)),
            at("Meta-1", (5760, 0), (1366, 768), false, Some(2)),
        ])
    }

    fn corners(places: &[Place]) -> Vec<(&str, i32, i32, bool)> {
        places.iter().map(|place| (place.monitors[0].0.as_str(), place.x, place.y, place.primary)).collect()
    }

    /// Sabotage: sort the recorded ones the other way round.
    #[test]
    fn newest_output_is_first_and_the_users_monitors_keep_their_shape() {
        let plan = desk().plan(Topology::Primary).unwrap();
        let wanted = [
            ("Meta-1", 0, 200, true),
            ("Meta-0", 1366, 200, false),
            ("DP-1", 2646, 200, false),
            ("DP-2", 4566, 0, false),
        ];
        assert_eq!(corners(&plan), wanted);
    }

    /// Sabotage: let `plan` leave recorded ones out too: gnome-shell 51 crashes when one is switched off.
    #[test]
    fn exclusive_switches_off_what_is_not_recorded_and_nothing_else() {
        let plan = desk().plan(Topology::Exclusive).unwrap();
        assert_eq!(corners(&plan), [("Meta-1", 0, 0, true), ("Meta-0", 1366, 0, false)]);
    }

    /// Sabotage: leave `same` out of `plan`: each change would be answered by another one for ever.
    #[test]
    fn layout_that_is_right_is_left_alone() {
        for topology in [Topology::Primary, Topology::Exclusive] {
            let plan = desk().plan(topology).unwrap();
            assert_eq!(layout(plan).plan(topology), None);
        }
        assert_eq!(desk().plan(Topology::Extend), None);
        let without = layout(desk().own());
        assert_eq!(
            without.plan(Topology::Exclusive),
            None,
            "nothing is switched off while nothing is recorded"
        );
    }

    #[test]
    fn users_layout_is_put_back_unless_monitors_were_unplugged() {
        let before = desk().own();
        let mut now = layout(before.clone());
        assert_eq!(now.restored(&before), None);
        now.places.swap_remove(0);
        assert_eq!(now.restored(&before), Some(before.clone()));
        now.connectors.clear();
        assert_eq!(now.restored(&before), None);
        assert_eq!(desk().restored(&before), None, "not while an Output is there");
    }

    #[test]
    fn state_of_a_real_mutter_is_read() {
        let name = |connector: &str, product: &str, serial: &str| -> Name {
            (connector.into(), "MetaVendor".into(), product.into(), serial.into())
        };
        let flag = |key: &str| HashMap::from([(key.to_owned(), OwnedVariant::from(true))]);
        let modes = |id: &str, w, h| {
            vec![
                ("800x600@60".to_owned(), 800, 600, 60.0, 1.0, vec![1.0], HashMap::new()),
                (id.to_owned(), w, h, 60.0, 1.0, vec![1.0, 2.0], flag("is-current")),
            ]
        };
        let (a, b) = (name("DP-1", "Screen", "x"), name("Meta-0", RECORDED, "0x00000a"));
        let state: WireState = (
            9,
            vec![
                (a.clone(), modes("3840x2160@60.000", 3840, 2160), HashMap::new()),
                (b.clone(), modes("1280x720@60.000", 1280, 720), HashMap::new()),
            ],
            vec![
                (0, 0, 1.5, 1, true, vec![a], HashMap::new()),
                (1440, 0, 1.0, 0, false, vec![b], HashMap::new()),
            ],
            HashMap::from([("layout-mode".to_owned(), OwnedVariant::from(1u32))]),
        );
        let layout = Layout::read(&state);
        assert_eq!(layout.places[0].size, (1440, 2560), "turned and scaled");
        assert_eq!(layout.places[0].monitors, [("DP-1".to_owned(), "3840x2160@60.000".to_owned())]);
        assert_eq!(layout.recorded().collect::<Vec<_>>(), [10]);
        assert_eq!(layout.shown(10), Some(Mode { width: 1280, height: 720, refresh_mhz: 60_000 }));
        assert_eq!(layout.shown(11), None);
        let wire = to_wire(&layout.plan(Topology::Primary).unwrap());
        assert_eq!((wire[1].0, wire[1].2, wire[1].3), (1280, 1.5, 1));
    }
}
