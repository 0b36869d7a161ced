//! Which settings a role has: what it was asked, by groups of arguments.

use std::net::SocketAddr;
use std::path::Path;

use super::file::File;
use super::origin::Effective;
use super::{
    Config, DEFAULT_COLLECTOR_LISTEN, DEFAULT_LISTEN, Given, absolute, absolute_glob,
    check_retention, kafka, mesos,
};
use crate::args::{
    AggregatorArgs, CollectorArgs, DemoArgs, GroupArgs, KafkaArgs, ProcessArgs, RunArgs,
    SourceArgs, StoreArgs,
};

/// The arguments of any role; `None` are groups that the role has not. What a file says for other
/// roles does not count.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(super) process: ProcessArgs,
    pub(super) default_listen: SocketAddr,
    sources: Option<SourceArgs>,
    pub(super) store: Option<StoreArgs>,
    demo: Option<DemoArgs>,
    kafka: Option<(KafkaArgs, Option<GroupArgs>)>,
}

impl Asked {
    fn of(process: ProcessArgs) -> Self {
        let default_listen = DEFAULT_LISTEN;
        Self { process, default_listen, sources: None, store: None, demo: None, kafka: None }
    }

    pub(crate) fn run(args: RunArgs) -> Self {
        let RunArgs { process, sources, store, demo } = args;
        Self { sources: Some(sources), store: Some(store), demo: Some(demo), ..Self::of(process) }
    }

    pub(crate) fn collector(args: CollectorArgs) -> Self {
        let CollectorArgs { process, sources, kafka } = args;
        Self {
            default_listen: DEFAULT_COLLECTOR_LISTEN,
            sources: Some(sources),
            kafka: Some((kafka, None)),
            ..Self::of(process)
        }
    }

    pub(crate) fn aggregator(args: AggregatorArgs) -> Self {
        let AggregatorArgs { process, kafka, group, store } = args;
        Self { store: Some(store), kafka: Some((kafka, Some(group))), ..Self::of(process) }
    }

    /// Fills in what not every role has.
    pub(super) fn pick_rest(
        &self,
        config: &mut Config,
        from: &mut Effective,
        given: &Given,
        mut file: File,
    ) -> anyhow::Result<()> {
        if let Some(sources) = &self.sources {
            pick_sources(sources, config, from, &mut file)?;
            pick_journal(sources, config, from, given, &mut file)?;
            pick_redaction(sources, config, from, given, &mut file)?;
            config.collector = Some(std::mem::take(&mut file.collector).pick(from));
        }
        if let Some(store) = &self.store {
            pick_store(store, config, from, &mut file)?;
        }
        if let Some(demo) = &self.demo {
            let flag = given.flag("demo", demo.demo);
            config.demo = from.pick("demo", flag, file.demo.take()).unwrap_or(false);
            config.demo_rotate_bytes = demo.demo_rotate_bytes.unwrap_or(config.demo_rotate_bytes);
        }
        if let Some((args, group)) = &self.kafka {
            let kafka = kafka::pick(from, given, args, group.as_ref(), file.kafka)?;
            config.kafka = Some(kafka);
        }
        Ok(())
    }
}

fn pick_sources(
    args: &SourceArgs,
    config: &mut Config,
    from: &mut Effective,
    file: &mut File,
) -> anyhow::Result<()> {
    let work_dir =
        from.pick("mesos_work_dir", args.mesos_work_dir.clone(), file.mesos_work_dir.take());
    config.mesos_work_dir = work_dir.as_deref().map(absolute).transpose()?;
    config.mesos = mesos::pick(&args.mesos, from, std::mem::take(&mut file.mesos))?;
    let paths = (!args.paths.is_empty()).then(|| args.paths.clone());
    let paths = from.pick("paths", paths, file.paths.take()).unwrap_or_default();
    config.paths = paths.iter().map(|glob| absolute_glob(glob)).collect::<Result<_, _>>()?;
    config.look_under = absolute(args.look_under.as_deref().unwrap_or(Path::new("/")))?;
    Ok(())
}

/// A directory of a journal is named to be read, unless it is said that none is.
fn pick_journal(
    args: &SourceArgs,
    config: &mut Config,
    from: &mut Effective,
    given: &Given,
    file: &mut File,
) -> anyhow::Result<()> {
    let journal = given.flag("journal", args.journal);
    let journal = from.pick("journal", journal, file.journal.take());
    let dir = from.pick("journal_dir", args.journal_dir.clone(), file.journal_dir.take());
    config.journal_dir = dir.as_deref().map(absolute).transpose()?;
    config.journal = journal.unwrap_or(config.journal_dir.is_some());
    if !config.journal && config.journal_dir.is_some() {
        anyhow::bail!("`journal_dir` is named, but `journal` is off: turn it on, or name none");
    }
    Ok(())
}

fn pick_redaction(
    args: &SourceArgs,
    config: &mut Config,
    from: &mut Effective,
    given: &Given,
    file: &mut File,
) -> anyhow::Result<()> {
    let redaction = given.flag("no_redaction", args.no_redaction).map(|off| !off);
    config.redaction = from.pick("redaction", redaction, file.redaction.take()).unwrap_or(true);
    let files = (!args.secret_files.is_empty()).then(|| args.secret_files.clone());
    let files = from.pick("secret_files", files, file.secret_files.take()).unwrap_or_default();
    config.secret_files = files.iter().map(|path| absolute(path)).collect::<Result<_, _>>()?;
    if !config.redaction && !config.secret_files.is_empty() {
        anyhow::bail!("`secret_files` are named, but redaction is off: turn it on, or name none");
    }
    Ok(())
}

fn pick_store(
    args: &StoreArgs,
    config: &mut Config,
    from: &mut Effective,
    file: &mut File,
) -> anyhow::Result<()> {
    let interval = from.pick("seal_interval", args.seal_interval, file.seal_interval.take());
    config.seal_interval = interval.unwrap_or(config.seal_interval);
    config.retention = from.pick("retention", args.retention, file.retention.take());
    config.retention_bytes =
        from.pick("retention_bytes", args.retention_bytes, file.retention_bytes.take());
    if !args.tiny_retention_i_know {
        check_retention(config.retention, config.retention_bytes)?;
    }
    Ok(())
}
