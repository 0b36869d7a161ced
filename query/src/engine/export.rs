//! The export: every matching line's stored bytes, stream after stream, each in the order of its
//! file, without a limit and without holding more than a block.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use sawlog_aggregator::Source;
use sawlog_transport::{GenerationId, StreamId};

use super::budget::{Budget, QueryError};
use super::plan::Plan;
use super::scan::{Found, Loaded};

/// Where one run stands: its source, and what it begins with.
struct RunPlace {
    stream: StreamId,
    partition: u32,
    arrival: u64,
    /// The generation and offset it begins at.
    begins: (GenerationId, u64),
    source: usize,
}

/// Visits the matching lines of the plan's sources with their bytes, in the order of the files.
///
/// # Errors
/// The budget is used up, or the visitor ends it.
pub fn run(
    plan: &Plan,
    sources: Vec<Source>,
    budget: &Budget,
    visit: &mut dyn FnMut(&Found<'_>) -> Result<(), QueryError>,
) -> Result<(), QueryError> {
    let places = in_file_order(plan, &sources, budget)?;
    let mut pending = Pending::new(sources, &places);
    let mut recent = Recent::default();
    for place in places {
        let load = || pending.load(place.source, plan, budget);
        let loaded = recent.get(place.source, load)?;
        // The reader may be slow: what is not needed any more is let go before it is waited for.
        if pending.is_passed(place.source) {
            recent.forget(place.source);
        }
        if let Some(loaded) = loaded {
            loaded.visit(plan, Some((place.stream, place.arrival)), budget, visit)?;
        }
    }
    Ok(())
}

/// The sources that are still needed, each with the number of its runs to come. Hot runs and dropped
/// slices live for as long as somebody holds them.
struct Pending(Vec<Option<(Source, usize)>>);

impl Pending {
    fn new(sources: Vec<Source>, places: &[RunPlace]) -> Self {
        let mut runs = vec![0; sources.len()];
        places.iter().for_each(|place| runs[place.source] += 1);
        let needed = |(source, runs)| (runs > 0).then_some((source, runs));
        Self(sources.into_iter().zip(runs).map(needed).collect())
    }

    fn load(
        &self,
        source: usize,
        plan: &Plan,
        budget: &Budget,
    ) -> Result<Option<Loaded>, QueryError> {
        match &self.0[source] {
            Some((source, _)) => Loaded::load(plan, source, true, budget),
            None => Ok(None),
        }
    }

    /// Counts off a run; whether it was the source's last, which is let go then.
    fn is_passed(&mut self, source: usize) -> bool {
        let entry = &mut self.0[source];
        if let Some((_, runs)) = entry {
            *runs -= 1;
        }
        entry.take_if(|(_, runs)| *runs == 0).is_some()
    }
}

/// Sources that are kept inflated: a block of many small runs is asked for once for each of them.
const RECENT_MAX: usize = 16;

/// The sources used last, by their number; the latest at the end.
#[derive(Default)]
struct Recent(VecDeque<(usize, Option<Rc<Loaded>>)>);

impl Recent {
    fn forget(&mut self, source: usize) {
        self.0.retain(|(number, _)| *number != source);
    }

    fn get(
        &mut self,
        source: usize,
        load: impl FnOnce() -> Result<Option<Loaded>, QueryError>,
    ) -> Result<Option<Rc<Loaded>>, QueryError> {
        let known = self.0.iter().position(|(number, _)| *number == source);
        let entry = match known.and_then(|at| self.0.remove(at)) {
            Some(entry) => entry,
            None => (source, load()?.map(Rc::new)),
        };
        let loaded = entry.1.clone();
        self.0.push_back(entry);
        if self.0.len() > RECENT_MAX {
            self.0.pop_front();
        }
        Ok(loaded)
    }
}

/// The runs of all selected streams. A stream's runs are in order of arrival, which is the order of
/// reading; within a generation the offset decides, so that what came late stands where it belongs.
fn in_file_order(
    plan: &Plan,
    sources: &[Source],
    budget: &Budget,
) -> Result<Vec<RunPlace>, QueryError> {
    let mut places = Vec::new();
    for (n, source) in sources.iter().enumerate() {
        budget.check()?;
        match source.open() {
            Ok(opened) => {
                let selected = opened.runs.iter().filter(|run| plan.stream(run.number).is_some());
                places.extend(selected.map(|run| {
                    RunPlace {
                        stream: run.stream,
                        partition: run.partition,
                        arrival: run.arrival,
                        begins: run
                            .run
                            .pieces
                            .first()
                            .map_or((GenerationId(0), 0), |piece| (piece.generation, piece.from)),
                        source: n,
                    }
                }));
            }
            Err(err) => budget.damaged(&err),
        }
    }
    // Streams are named by their first arrival's order of id; generations by their first arrival.
    places.sort_by_key(|place| (place.stream, place.partition, place.arrival, place.begins.1));
    let mut first_seen: HashMap<(StreamId, GenerationId), usize> = HashMap::new();
    for (n, place) in places.iter().enumerate() {
        first_seen.entry((place.stream, place.begins.0)).or_insert(n);
    }
    places.sort_by_key(|place| {
        (place.stream, first_seen[&(place.stream, place.begins.0)], place.begins.1, place.arrival)
    });
    places.dedup_by_key(|place| (place.stream, place.arrival, place.source));
    Ok(places)
}
