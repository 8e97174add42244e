//! Figures 4 and 5: the first call of a function, and the first call of a module, beside doing it
//! by hand.

use std::fs;
use std::path::Path;

use crate::cached::timing;
use crate::client;
use crate::report::{Goal, Row};
use crate::world::{Absent, MODULE, World, track};

/// Calls of functions of the bench's module that no other figure makes.
const FUNCTIONS: [&str; 16] = [
    "Short(48.8, 2.2, 5)",
    "Decode(\"u09tv\")",
    "Distance(48.8, 2.2, 52.5, 13.4)",
    "Bearing(48.8, 2.2, 52.5, 13.4)",
    "Middle(48.8, 2.2, 52.5, 13.4)",
    "Antipode(48.8, 2.2)",
    "Wrap(190)",
    "Valid(91, 0)",
    "Sexagesimal(48.85)",
    "Compass(100)",
    "Common(\"u09tv\", \"u09wx\")",
    "Parse(\"48.8, 2.2\")",
    "Area(40, 0, 50, 10)",
    "Horizon(324)",
    "Zone(2.2)",
    "Radius",
];

/// Functions of a known module, each for the first time.
pub(crate) fn of_a_function(world: &World) -> Result<Vec<Row>, Absent> {
    let mut client = world.client()?;
    let project = world.hand.project("functions")?;
    let (mut ours, mut by_hand) = (Vec::new(), Vec::new());
    for (round, call) in FUNCTIONS.iter().take(world.settings.builds).enumerate() {
        let request = client::request(MODULE, call);
        // Each goes first in every other round, for what one leaves behind may cost the next.
        if round % 2 == 0 {
            ours.push(client.call(&request)?);
            by_hand.push(world.hand.first_call(&project, call)?);
        } else {
            by_hand.push(world.hand.first_call(&project, call)?);
            ours.push(client.call(&request)?);
        }
    }
    let goal = Goal::AtMost { median: 1.15, p99: None };
    let yardstick = ("go build + run, warm", &by_hand[..]);
    let row = Row::times(4, "first call of a function", &ours, yardstick, goal);
    Ok(vec![row.note(format!("where the last one's time went: {}", timing(&client.answer())))])
}

/// What a module that nobody has seen depends on.
pub(crate) struct Kind {
    name: &'static str,
    go_mod: &'static str,
    source: &'static str,
}

pub(crate) const ALONE: Kind = Kind { name: "alone", go_mod: "", source: "" };
const DEPENDENT: Kind = Kind {
    name: "dependent",
    go_mod: "\nrequire (\n\tgithub.com/mattn/go-runewidth v0.0.16\n\tgithub.com/mmcloughlin/geohash v0.10.0\n)\n\nrequire github.com/rivo/uniseg v0.2.0 // indirect\n",
    source: r#"package track

import (
	"github.com/mattn/go-runewidth"
	"github.com/mmcloughlin/geohash"
)

// Label writes a place's geohash at the right of so many columns.
func Label(lat, lon float64, columns int) string {
	return runewidth.FillLeft(geohash.Encode(lat, lon), columns)
}
"#,
};

/// Modules that were never seen, without dependencies and with three (one of which another one
/// needs).
pub(crate) fn of_a_module(world: &World) -> Result<Vec<Row>, Absent> {
    let alone = rounds(world, &ALONE, "Encode(48.8, 2.2)")?;
    let mut rows = vec![alone];
    if world.settings.offline {
        rows[0].notes.push("without dependencies alone, for SKY_ISLAND_OFFLINE=1".to_owned());
        return Ok(rows);
    }
    match rounds(world, &DEPENDENT, "Label(48.8, 2.2, 20)") {
        Ok(row) => rows.push(row),
        Err(why) => rows[0].notes.push(format!("without dependencies alone, for {why}")),
    }
    Ok(rows)
}

fn rounds(world: &World, kind: &Kind, call: &str) -> Result<Row, String> {
    let mut client = world.client()?;
    let folder = world.folder(kind.name)?;
    let told = |e: std::io::Error| e.to_string();
    fs::copy(track().join("track.go"), folder.join("track.go")).map_err(told)?;
    fs::write(folder.join("kind.go"), kind.source).map_err(told)?;
    if kind.source.is_empty() {
        fs::remove_file(folder.join("kind.go")).map_err(told)?;
    }
    let (mut ours, mut by_hand) = (Vec::new(), Vec::new());
    let mut where_it_went = String::new();
    for round in 0..world.settings.builds {
        let (one, other) =
            (fresh(world, kind, &folder, 2 * round)?, fresh(world, kind, &folder, 2 * round + 1)?);
        if round % 2 == 0 {
            ours.push(client.call(&client::request(&one, call))?);
            by_hand.push(world.hand.unknown(&other, call)?);
        } else {
            by_hand.push(world.hand.unknown(&other, call)?);
            ours.push(client.call(&client::request(&one, call))?);
        }
        where_it_went = timing(&client.answer());
    }
    let goal = Goal::AtMost { median: 1.05, p99: None };
    let name = match kind.source.is_empty() {
        true => "first call of a module",
        false => "the same with three dependencies",
    };
    let yardstick = ("clone + download + build + run", &by_hand[..]);
    let row = Row::times(5, name, &ours, yardstick, goal);
    Ok(row.note(format!("where the last one's time went: {where_it_went}")))
}

/// Publishes a module that differs from all others, so that nothing which was compiled for one is
/// of use to the next.
pub(crate) fn fresh(
    world: &World,
    kind: &Kind,
    folder: &Path,
    number: usize,
) -> Result<String, String> {
    let name = format!("{}{number}", kind.name);
    let module = format!("{}/{name}.git", crate::world::HOST);
    let told = |e: std::io::Error| e.to_string();
    let go_mod = format!("module {module}\n\ngo 1.21\n{}", kind.go_mod);
    fs::write(folder.join("go.mod"), go_mod).map_err(told)?;
    let edition = format!(
        "package track\n\n// Edition tells one module from the next.\nconst Edition = {number}\n"
    );
    fs::write(folder.join("edition.go"), edition).map_err(told)?;
    if !kind.go_mod.is_empty() && number == 0 {
        // The sums are the same for all of them.
        world.hand.tidy(folder)?;
    }
    world.publish(&name, folder)?;
    Ok(module)
}
