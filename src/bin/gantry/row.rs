//! A row of a listing, as the wire gave it.

use gantry::wire::reply::Parsed;

use crate::failure::Failure;

/// The pairs of one line, in the order of the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row(Vec<(String, String)>);

impl Row {
    /// Reads the pairs of a line.
    pub fn read(line: &Parsed) -> Result<Self, Failure> {
        line.pairs().map(Self).map_err(|refusal| Failure::Garbled(refusal.message().to_owned()))
    }

    /// The value of `key`, empty where it is not there.
    pub fn get(&self, key: &str) -> &str {
        self.0.iter().find(|(k, _)| k == key).map_or("", |(_, value)| value)
    }

    /// The same row with one pair before the others.
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.0.insert(0, (key.to_owned(), value.to_owned()));
        self
    }

    /// Every pair, in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// As one JSON object on one line, with the keys of the wire in their order.
    pub fn json(&self) -> String {
        let text = |value: &str| serde_json::Value::from(value).to_string();
        let members: Vec<_> = self.pairs().map(|(key, value)| format!("{}:{}", text(key), text(value))).collect();
        format!("{{{}}}", members.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_keys_and_order() {
        let row = Row::read(&Parsed::read(b"ROW name=web:latest id=ab command=\"a \\\"b\\\"\" exit=\"\"")).unwrap();
        assert_eq!(row.json(), r#"{"name":"web:latest","id":"ab","command":"a \"b\"","exit":""}"#);
        assert_eq!((row.get("id"), row.get("exit"), row.get("none")), ("ab", "", ""));
    }
}
