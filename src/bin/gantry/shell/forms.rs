//! What `help` tells, read: which verbs there are, and what one of them takes.

/// What one verb takes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// The words of its name.
    group: Option<String>,
    /// Its positionals, as help writes them: `NAME`.
    positionals: Vec<String>,
    /// Its options.
    pub options: Vec<Opt>,
}

/// One option of a verb.
#[derive(Debug, PartialEq, Eq)]
pub struct Opt {
    /// What stands before the `=`.
    pub key: String,
    /// What may stand behind it, as help writes it: `yes|no`.
    value: String,
    /// Whether it may be given again.
    pub repeats: bool,
}

/// The verb of a line of `help`: the words before what is written in capitals, in brackets, or further to the right.
pub fn verb_of(line: &str) -> Option<String> {
    let is_word = |word: &&str| word.starts_with(|c: char| c.is_ascii_lowercase());
    let usage = line.split("  ").next().unwrap_or(line);
    let words: Vec<&str> = usage.split(' ').take_while(is_word).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// The words that may come next where no verb is complete yet.
pub fn next_words(verbs: &[String], words: &[&str]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for verb in verbs {
        let mut parts = verb.split(' ');
        let fits = words.iter().all(|word| parts.next() == Some(*word));
        let next = parts.next().filter(|_| fits).map(str::to_owned);
        found.extend(next.filter(|next| !found.contains(next)));
    }
    found
}

impl Form {
    /// Reads the lines of `help VERB`: its usage, what it does, its options.
    pub fn read(lines: &[String]) -> Option<Self> {
        let (usage, rest) = lines.split_first()?;
        let verb = verb_of(usage)?;
        let behind = usage.get(verb.len()..)?.split_whitespace();
        let bare = |word: &str| word.trim_matches(['[', ']']).to_owned();
        let is_positional = |word: &String| word.chars().all(|c| c.is_ascii_uppercase()) && !word.is_empty();
        let positionals = behind.take_while(|word| !word.contains("--")).map(bare).filter(is_positional).collect();
        let group = verb.split_once(' ').map(|(group, _)| group.to_owned());
        Some(Self { group, positionals, options: rest.iter().filter_map(|line| Opt::read(line)).collect() })
    }

    /// The listing that tells names for the nth positional: that which the positional is called after, else that of the
    /// verb's group where it is what the verb is about, else that of containers.
    pub fn listing_of(&self, nth: usize, verbs: &[String]) -> Option<String> {
        let known = |listing: String| Some(listing).filter(|listing| verbs.contains(listing));
        let called_after = |positional: &str| known(format!("{} ls", positional.to_ascii_lowercase()));
        let positional = self.positionals.get(nth)?;
        if let Some(listing) = called_after(positional) {
            return Some(listing);
        }
        let is_said = self.positionals.iter().any(|one| called_after(one).is_some());
        let own = self.group.as_ref().filter(|_| !is_said).and_then(|group| known(format!("{group} ls")));
        match positional.as_str() {
            "NAME" => own.or_else(|| known("ps".to_owned())),
            "REF" => own,
            _ => None,
        }
    }
}

impl Opt {
    /// `  key=VALUE    what it does (may repeat)`
    fn read(line: &str) -> Option<Self> {
        let (form, about) = line.trim_start().split_once(' ').unwrap_or((line.trim_start(), ""));
        let (key, value) = form.split_once('=')?;
        Some(Self { key: key.to_owned(), value: value.to_owned(), repeats: about.ends_with("(may repeat)") })
    }

    /// The values that help spells out.
    pub fn values(&self) -> impl Iterator<Item = String> {
        let spelt = self.value.split('|').map(|one| one.split('[').next().unwrap_or_default());
        let is_word = |one: &&str| !one.is_empty() && one.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        spelt.filter(is_word).map(str::to_owned)
    }

    /// Whether a name of something may be the value.
    pub fn takes_a_name(&self) -> bool {
        self.value.split('|').any(|one| one == "NAME")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_help_are_read() {
        for (line, verb) in [
            ("ping                                         answer", Some("ping")),
            ("image pull REF [option=…]                    fetch one", Some("image pull")),
            ("create [IMAGE] [option=…] [-- argv…]", Some("create")),
            ("'help VERB' tells the options of one verb.", None),
            ("", None),
        ] {
            assert_eq!(verb_of(line).as_deref(), verb, "{line}");
        }
    }

    #[test]
    fn a_form_is_read() {
        let lines = [
            "run [IMAGE] [option=…] [-- argv…]",
            "  make and start",
            "  network=NAME|none|container:NAME  its network (may repeat)",
        ];
        let form = Form::read(&lines.map(str::to_owned)).unwrap();
        assert_eq!(form.positionals, ["IMAGE"]);
        assert_eq!(form.options.len(), 1);
        assert!(form.options[0].repeats && form.options[0].takes_a_name());
        assert_eq!(form.options[0].values().collect::<Vec<_>>(), ["none"]);
    }
}
