//! Which setting wins, and what is said about a file with errors in it.

use std::path::Path;

use clap::{CommandFactory, FromArgMatches};

use super::*;
use crate::cli::{Cli, Command};

fn effective(flags: &[&str]) -> anyhow::Result<(Config, String)> {
    effective_of("run", flags)
}

fn effective_of(role: &str, flags: &[&str]) -> anyhow::Result<(Config, String)> {
    let matches = Cli::command().get_matches_from([&["sawlog", role], flags].concat());
    let given = Given::of(&matches);
    let asked = match Cli::from_arg_matches(&matches).unwrap().command {
        Command::Run(args) => Asked::run(*args),
        Command::Collector(args) => Asked::collector(*args),
        Command::Aggregator(args) => Asked::aggregator(*args),
        other => panic!("{other:?} is no role"),
    };
    Config::effective(&asked, &given).map(|(config, effective)| (config, effective.to_string()))
}

/// All that is wrong in a text, a line each.
fn problems(text: &str) -> Vec<String> {
    let error = file::parse(Path::new("x.toml"), text, Overruled::default()).unwrap_err();
    error.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn a_flag_wins_over_the_file_and_that_over_the_default() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("s.toml");
    std::fs::write(&file, "# first\ndata = \"/f\"\nseal_interval = \"1s\"\ndemo = true\n").unwrap();
    let file = file.to_str().unwrap();
    let (config, shown) = effective(&["--config", file, "--data", "/flag"]).unwrap();
    assert_eq!(config.data, Path::new("/flag"));
    assert_eq!(config.seal_interval, Duration::from_secs(1));
    assert_eq!(config.listen, DEFAULT_LISTEN);
    assert!(config.demo);
    assert_eq!((config.retention, config.retention_bytes), (None, None));
    for line in [
        "data = \"/flag\"  # --data\n",
        &format!("seal_interval = \"1s\"  # {file}:3\n"),
        "listen = \"127.0.0.1:7411\"  # default\n",
        "# retention is not set\n",
    ] {
        assert!(shown.contains(line), "{line:?} is not in\n{shown}");
    }
    file::parse(Path::new("shown"), &shown, Overruled::default())
        .expect("what is shown is a configuration");
}

#[test]
fn redaction_is_on_unless_it_is_said_and_knows_the_files_named() {
    let (config, shown) = effective(&[]).unwrap();
    assert!(config.redaction && config.secret_files.is_empty());
    assert!(shown.contains("redaction = true  # default\n"), "{shown}");
    let (config, shown) = effective(&["--no-redaction"]).unwrap();
    assert!(!config.redaction);
    assert!(shown.contains("redaction = false  # --no-redaction\n"), "{shown}");
    let (config, shown) = effective_of(
        "collector",
        &["--brokers", "k:9092", "--secret-file", "/a", "--secret-file", "/b"],
    )
    .unwrap();
    assert_eq!(config.secret_files, [Path::new("/a"), Path::new("/b")]);
    assert!(shown.contains("secret_files = [\"/a\", \"/b\"]  # --secret-file\n"), "{shown}");
    let error = effective(&["--no-redaction", "--secret-file", "/a"]).unwrap_err().to_string();
    assert!(error.contains("redaction is off"), "{error}");
    let found = problems("redaction = \"yes\"\nsecret_files = [\"\", 3]\n");
    assert_eq!(found.len(), 3, "{found:#?}");
}

#[test]
fn how_the_agent_is_asked_is_checked_and_shown() {
    let (config, shown) =
        effective(&["--mesos-agent-url", "none", "--task-label", "team"]).unwrap();
    assert!(!config.mesos.ask && config.mesos.url.is_none());
    for line in [
        "mesos_agent_url = \"none\"  # --mesos-agent-url\n",
        "mesos_task_labels = [\"team\"]  # --task-label\n",
        "mesos_poll_interval = \"10s\"  # default\n",
        "# mesos_token_file is not set\n",
    ] {
        assert!(shown.contains(line), "{line:?} is not in\n{shown}");
    }
    let both = effective(&["--mesos-token-file", "/t", "--mesos-credential-file", "/c"]);
    assert!(both.unwrap_err().to_string().contains("both set"));
    let unnamed = effective(&["--mesos-token-file", "/t"]).unwrap_err().to_string();
    assert!(unnamed.contains("mesos_agent_url"), "{unnamed}");
    let named = ["--mesos-token-file", "/t", "--mesos-agent-url", "http://127.0.0.1:5051"];
    assert!(effective(&named).is_ok());
    let found = problems("mesos_agent_url = \"agent:5051\"\nmesos_task_labels = [7]\n");
    assert!(found[0].contains("x.toml:1:19: `mesos_agent_url`") && found[0].contains("'none'"));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(problems("mesos_agent_ulr = 1")[0].contains("did you mean `mesos_agent_url`?"));
}

#[test]
fn an_address_for_all_needs_the_word_for_it() {
    let error = effective(&["--listen", "0.0.0.0:1"]).unwrap_err().to_string();
    assert!(error.contains("0.0.0.0:1") && error.contains("--no-auth-i-know"), "{error}");
    assert!(effective(&["--listen", "0.0.0.0:1", "--no-auth-i-know"]).is_ok());
}

#[test]
fn all_that_is_wrong_is_said_at_once_with_its_place() {
    let text = "seal_intervall = \"1s\"\n\
                listen = \"localhost\"\n\
                data = 5\n\
                paths = [\"/ok/*.log\", 7, \"/a/[\"]\n\
                retention = \"soon\"\n\
                retention_bytes = -4\n\
                demo = \"yes\"\n\
                [other]\n";
    let found = problems(text);
    for (line, parts) in [
        ("x.toml:1:1: ", &["unknown key `seal_intervall`", "did you mean `seal_interval`?"][..]),
        ("x.toml:2:10: ", &["`listen`", "'localhost'", "127.0.0.1:7411"]),
        ("x.toml:3:8: ", &["`data`", "integer", "data = \"/"]),
        ("x.toml:4:23: ", &["`paths`", "integer", "paths = ["]),
        ("x.toml:4:26: ", &["`paths`", "'/a/['"]),
        ("x.toml:5:13: ", &["`retention`", "'soon'", "30d"]),
        ("x.toml:6:19: ", &["`retention_bytes`", "-4"]),
        ("x.toml:7:8: ", &["`demo`", "string", "demo = false"]),
        ("x.toml:8:2: ", &["unknown key `other`", "mesos_work_dir"]),
    ] {
        let said = found.iter().find(|text| text.starts_with(line));
        let said = said.unwrap_or_else(|| panic!("nothing at {line} in {found:#?}"));
        assert!(parts.iter().all(|part| said.contains(part)), "{said} without one of {parts:?}");
    }
    assert_eq!(found.len(), 9, "{found:#?}");
}

#[test]
fn an_open_address_is_one_more_problem_of_a_file() {
    let found = problems("listen = \"0.0.0.0:1\"\nlisen = 1\n");
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("x.toml:1:10: `listen`: ") && found[0].contains("no_auth_i_know"));
    let allowed = "listen = \"0.0.0.0:1\"\nno_auth_i_know = true\n";
    file::parse(Path::new("x.toml"), allowed, Overruled::default()).unwrap();

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("s.toml");
    std::fs::write(&file, "listen = \"0.0.0.0:1\"\n").unwrap();
    let flags = ["--config", file.to_str().unwrap()];
    assert!(effective(&flags).is_err());
    for flag in [&["--listen", "127.0.0.1:1"][..], &["--no-auth-i-know"]] {
        effective(&[&flags, flag].concat()).expect("a flag overrules the file");
    }
}

#[test]
fn a_retention_that_keeps_nothing_is_refused_wherever_it_stands() {
    let found = problems("retention = \"30s\"\nretention_bytes = 100\n");
    assert!(found[0].starts_with("x.toml:1:13: `retention`: 30s would drop"), "{found:#?}");
    assert!(found[1].starts_with("x.toml:2:19: `retention_bytes`: 100 bytes"), "{found:#?}");
    assert!(problems("retention_bytes = \"1MB\"")[0].contains("at least 64MiB"));
    for flags in [["--retention", "30s"], ["--retention-bytes", "100"]] {
        let error = effective(&flags).unwrap_err().to_string();
        assert!(error.contains(&flags[0][2..].replace('-', "_")), "{error}");
        effective(&[&flags[..], &["--tiny-retention-i-know"]].concat()).unwrap();
    }
}

#[test]
fn a_path_that_is_no_glob_is_refused_before_anything_starts() {
    for path in ["/[", ""] {
        let error = effective(&["--path", path]).unwrap_err().to_string();
        assert!(error.contains("`--path`") && error.contains(&format!("'{path}'")), "{error}");
    }
}

#[test]
fn a_file_that_is_no_text_is_said_to_be_none() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("s.toml");
    std::fs::write(&file, b"data = \"\xff\"\n").unwrap();
    let error = file::text(&file).unwrap_err().to_string();
    assert!(error.contains("no UTF-8 text from byte 9"), "{error}");
}

#[test]
fn broken_syntax_is_one_complaint_and_hides_no_other() {
    let found = problems("data = \nlisen = \"127.0.0.1:1\"\n");
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("x.toml:1:") && found[0].contains("TOML"), "{found:#?}");
    assert!(found[1].starts_with("x.toml:2:1: ") && found[1].contains("`listen`"), "{found:#?}");
}

#[test]
fn near_names_are_suggested_and_far_ones_are_not() {
    for (wrong, right) in [
        ("lisen", "listen"),
        ("path", "paths"),
        ("mesos-work-dir", "mesos_work_dir"),
        ("retention_byte", "retention_bytes"),
        ("dta", "data"),
    ] {
        let found = problems(&format!("{wrong} = 1"));
        assert!(found[0].contains(&format!("did you mean `{right}`?")), "{found:?}");
    }
    assert!(!problems("frobnicate = 1")[0].contains("did you mean"));
}

/// The sample file explains every key there is, and can be used as it stands.
#[test]
fn the_sample_file_has_every_key() {
    let sample = include_str!("../../deploy/sawlog.toml");
    file::parse(Path::new("deploy/sawlog.toml"), sample, Overruled::default())
        .expect("the sample is fine");
    // What is commented out by `#key = value` is parsed, too.
    let all: String = sample
        .lines()
        .map(|line| {
            line.strip_prefix('#').filter(|rest| !rest.starts_with([' ', '#'])).unwrap_or(line)
        })
        .fold(String::new(), |all, line| all + line + "\n");
    let whole = file::parse(Path::new("deploy/sawlog.toml"), &all, Overruled::default());
    whole.unwrap_or_else(|error| panic!("{error}"));
    let top = file::KEYS.into_iter().filter(|(key, _)| !["collector", "kafka"].contains(key));
    // Rates are written as tables of their own.
    let of_collector = collector::all_keys().filter(|(key, _)| *key != "collector.rate");
    let keys = top.chain(of_collector).chain(kafka::KEYS);
    for key in keys.map(|(key, _)| key.rsplit('.').next().unwrap_or(key)) {
        let is_set = all.lines().any(|line| line.starts_with(&format!("{key} =")));
        assert!(is_set, "deploy/sawlog.toml does not explain `{key}`");
    }
}

/// Both roles of one machine read it.
#[test]
fn the_sample_file_gives_each_role_an_address_of_its_own() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/sawlog.toml");
    for (role, listen) in [("collector", "127.0.0.1:7412"), ("aggregator", "127.0.0.1:7411")] {
        let flags = ["--config", sample, "--brokers", "k:1"];
        let (config, _) = effective_of(role, &flags).unwrap();
        assert_eq!(config.listen.to_string(), listen, "{role}");
    }
}

#[test]
fn each_keys_example_is_right() {
    let in_kafka = kafka::KEYS.map(|(key, example)| (key, format!("[kafka]\n{example}")));
    let in_collector =
        collector::KEYS.map(|(key, example)| (key, format!("[collector]\n{example}")));
    let at_top = file::KEYS.map(|(key, example)| (key, example.to_owned()));
    for (key, example) in at_top.into_iter().chain(in_kafka).chain(in_collector) {
        file::parse(Path::new(key), &example, Overruled::default())
            .unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn a_role_takes_its_own_settings_of_a_file_for_all() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("s.toml");
    let text = "paths = [\"/x/*.log\"]\nseal_interval = \"1s\"\n[kafka]\nbrokers = \"k:9092\"\n\
                topic_partitions = 4\ntopic_retention = \"2h\"\nno_create_topic = true\n";
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let (collector, shown) =
        effective_of("collector", &["--config", file, "--topic-partitions", "5"]).unwrap();
    assert_eq!((collector.paths.len(), collector.listen), (1, DEFAULT_COLLECTOR_LISTEN));
    assert!(!shown.contains("seal_interval") && !shown.contains("group"), "{shown}");
    let kafka = collector.kafka.unwrap();
    assert_eq!((kafka.brokers.as_str(), kafka.topic.as_str()), ("k:9092", "sawlog"));
    assert_eq!((kafka.topic_partitions, kafka.topic_replication), (5, None));
    assert_eq!((kafka.topic_retention, kafka.create_topic), (Duration::from_secs(7200), false));
    file::parse(Path::new("shown"), &shown, Overruled::default())
        .expect("what is shown is a configuration");
    let (aggregator, _) = effective_of("aggregator", &["--config", file]).unwrap();
    assert_eq!((aggregator.paths.len(), aggregator.listen), (0, DEFAULT_LISTEN));
    assert_eq!(aggregator.seal_interval, Duration::from_secs(1));
    assert_eq!(aggregator.kafka.unwrap().group, "sawlog");
    assert!(effective_of("run", &["--config", file]).unwrap().0.kafka.is_none());
}

#[test]
fn all_that_is_wrong_about_kafka_is_said_too() {
    let text = "brokers = \"k:1\"\n[kafka]\nbrokers = [\"k:1\"]\nbroker = 1\ntopic_partitions = -1\n\
                topic_replication = \"x\"\ntopic_retention = \"1m\"\ngroup = \"\"\nwhatever = 1\n";
    let found = problems(text);
    for (part, place) in [
        ("unknown key `brokers`: did you mean `kafka.brokers`?", "x.toml:1:1"),
        ("`kafka.brokers` must not be of type array: write brokers =", "x.toml:3:11"),
        ("unknown key `kafka.broker`: did you mean `kafka.brokers`?", "x.toml:4:1"),
        ("`kafka.topic_partitions`: '-1' is no number of partitions", "x.toml:5:20"),
        ("`kafka.topic_replication`: 'x' is no number of replicas", "x.toml:6:21"),
        ("`kafka.topic_retention`: '1m' is how long", "x.toml:7:19"),
        ("`kafka.group`: '' is no group", "x.toml:8:9"),
        ("unknown key `kafka.whatever`: there are kafka.brokers, kafka.topic,", "x.toml:9:1"),
    ] {
        let said = found.iter().any(|line| line.starts_with(place) && line.contains(part));
        assert!(said, "{place} {part:?} is not in\n{found:#?}");
    }
    assert_eq!(found.len(), 8, "{found:#?}");
    assert!(problems("kafka = 5\n")[0].contains("`kafka` must not be of type integer"));
}

#[test]
fn a_collectors_limits_come_from_its_table() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("s.toml");
    let text = "[collector]\nformat = \"cri\"\nmultiline = false\n\
                spool_bytes = \"20GiB\"\npinned_bytes = 2097152\n[[collector.rate]]\n\
                app = \"/shop/*\"\nbytes_per_second = 1000\non_limit = \"drop\"\n";
    std::fs::write(&file, text).unwrap();
    let (config, shown) = effective(&["--config", file.to_str().unwrap()]).unwrap();
    let mut limits = sawlog_collector::Config::new("d", "h");
    config.collector.unwrap().apply(&mut limits);
    assert_eq!((limits.spool_bytes_max, limits.pinned_bytes_max), (20 << 30, 2 << 20));
    assert_eq!(limits.in_flight_bytes_max, 16 << 20);
    assert_eq!((limits.format, limits.multiline), (sawlog_collector::Format::Cri, false));
    let on_limit = sawlog_collector::OnLimit::Drop;
    let rate =
        sawlog_collector::RateRule { app: "/shop/*".into(), bytes_per_second: 1000, on_limit };
    assert_eq!(limits.rate_rules, [rate]);
    assert!(shown.contains("# collector.rate_limit_bytes_per_second is not set"), "{shown}");
    file::parse(Path::new("shown"), &shown, Overruled::default())
        .expect("what is shown is a configuration");
}

#[test]
fn all_that_is_wrong_about_the_collector_is_said_too() {
    let text = "[collector]\nspool_byte = 1\npinned_bytes = 5\nin_flight_bytes = \"x\"\n\
                on_limit = \"wait\"\nrate = [{ app = \"[\", bytes_per_second = 1 }, { app = \"a\" }, 3,\n\
                { ap = \"b\", app = \"b\", bytes_per_second = 0 }]\nformat = \"k8s\"\n";
    let found = problems(text);
    for (part, place) in [
        ("unknown key `collector.spool_byte`: did you mean `collector.spool_bytes`?", "x.toml:2:1"),
        ("`collector.pinned_bytes`: pinned_bytes_max is 5", "x.toml:3:16"),
        ("`collector.in_flight_bytes`: 'x' is no size", "x.toml:4:19"),
        ("`collector.on_limit`: 'wait' is neither", "x.toml:5:12"),
        ("`collector.rate.app`: app '[' of a rate is no glob", "x.toml:6:17"),
        ("`collector.rate`: a rate needs `app` and `bytes_per_second`", "x.toml:6:46"),
        ("`collector.rate` must not be of type integer", "x.toml:6:61"),
        ("unknown key `collector.rate.ap`: did you mean `collector.rate.app`?", "x.toml:7:3"),
        ("`collector.rate.bytes_per_second`: '0' is no size", "x.toml:7:43"),
        ("`collector.format`: 'k8s' is no form of lines", "x.toml:8:10"),
    ] {
        let said = found.iter().any(|line| line.starts_with(place) && line.contains(part));
        assert!(said, "{place} {part:?} is not in\n{found:#?}");
    }
    assert_eq!(found.len(), 10, "{found:#?}");
}
