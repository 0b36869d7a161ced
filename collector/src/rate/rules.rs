//! Which application may hand on how much, as the operator wrote it down.

use glob::Pattern;

use crate::config::ConfigError;

/// What happens to lines beyond a rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLimit {
    /// They stay in their files until it is their turn.
    #[default]
    Block,
    /// They are left out, declared and counted.
    Drop,
}

/// The rate of some applications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateRule {
    /// A glob for the label `app`, such as `/shop/*`; `*` also stands for `/`.
    pub app: String,
    /// Bytes of log files a second, of all streams of one application together; at least 1.
    pub bytes_per_second: u64,
    pub on_limit: OnLimit,
}

/// All rules: the first that matches counts, else the rate for all.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    all: Option<(u64, OnLimit)>,
    some: Vec<(Pattern, u64, OnLimit)>,
}

impl Rules {
    /// # Errors
    /// A glob is none, or a rate is nothing.
    pub(crate) fn new(
        all: Option<u64>,
        on_limit: OnLimit,
        rules: &[RateRule],
    ) -> Result<Self, ConfigError> {
        check("rate_limit_bytes_per_second", all.unwrap_or(1))?;
        let some = rules.iter().map(|rule| {
            check("bytes_per_second", rule.bytes_per_second)?;
            let pattern = Pattern::new(&rule.app).map_err(|error| ConfigError::AppGlob {
                glob: rule.app.clone(),
                reason: error.msg,
            })?;
            Ok((pattern, rule.bytes_per_second, rule.on_limit))
        });
        let some = some.collect::<Result<_, ConfigError>>()?;
        Ok(Self { all: all.map(|rate| (rate, on_limit)), some })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_none() && self.some.is_empty()
    }

    /// The rate of an application, if it has one.
    pub(super) fn of(&self, app: &[u8]) -> Option<(u64, OnLimit)> {
        let app = String::from_utf8_lossy(app);
        let mut some = self.some.iter();
        let rule = some.find(|(pattern, ..)| pattern.matches(&app));
        rule.map(|(_, rate, on_limit)| (*rate, *on_limit)).or(self.all)
    }
}

/// Refuses a rate of nothing, with which an application would wait for ever.
fn check(name: &'static str, bytes_per_second: u64) -> Result<(), ConfigError> {
    if bytes_per_second > 0 {
        return Ok(());
    }
    Err(ConfigError::TooSmall { name, found: "0".to_owned(), least: "1".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(app: &str, bytes_per_second: u64) -> RateRule {
        RateRule { app: app.into(), bytes_per_second, on_limit: OnLimit::Drop }
    }

    #[test]
    fn the_first_match_counts_and_else_the_rate_for_all() {
        let rules = [rule("/shop/cart", 1), rule("/shop/*", 2)];
        let rules = Rules::new(Some(3), OnLimit::Block, &rules).expect("valid");
        let rate = |app: &str| rules.of(app.as_bytes()).map(|(rate, _)| rate);
        assert_eq!(rate("/shop/cart"), Some(1));
        assert_eq!(rate("/shop/a/b"), Some(2));
        assert_eq!(rate("/bank"), Some(3));
        assert_eq!(rules.of(b"\xff"), Some((3, OnLimit::Block)));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let error =
            |rule: RateRule| Rules::new(None, OnLimit::Block, &[rule]).unwrap_err().to_string();
        assert!(error(rule("/shop/[", 5)).contains("'/shop/['"));
        assert!(error(rule("*", 0)).starts_with("bytes_per_second is 0"));
        assert!(Rules::new(Some(0), OnLimit::Block, &[]).is_err());
    }
}
