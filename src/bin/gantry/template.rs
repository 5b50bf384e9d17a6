//! `--format` with a template: `{{.Names}}`, `{{json .}}`, `table {{.ID}}\t{{.Names}}`. Of Go's templates it has what is
//! needed to pick fields, and nothing more.

use std::io::Write;

use crate::failure::Failure;
use crate::table;

/// A template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
    is_table: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(String),
    Json(String),
}

/// The value of a field of one record, as JSON; the empty name is the record itself.
pub type Fields<'a> = &'a dyn Fn(&str) -> Option<serde_json::Value>;

impl Template {
    /// Reads a template; the error tells what is not understood.
    pub fn read(text: &str) -> Result<Self, String> {
        let (is_table, text) = text.strip_prefix("table ").map_or((false, text), |rest| (true, rest.trim_start()));
        let (mut rest, mut pieces) = (text, Vec::new());
        while let Some((before, behind)) = rest.split_once("{{") {
            pieces.push(Piece::Text(unescaped(before)));
            let (action, behind) = behind.split_once("}}").ok_or_else(|| format!("{text:?}: a {{{{ is not closed"))?;
            pieces.push(Piece::read(action.trim())?);
            rest = behind;
        }
        pieces.push(Piece::Text(unescaped(rest)));
        pieces.retain(|piece| *piece != Piece::Text(String::new()));
        Ok(Self { pieces, is_table })
    }

    /// Writes one line for each record, or a table with a head.
    pub fn write(&self, out: &mut dyn Write, records: &[Fields<'_>]) -> Result<(), Failure> {
        let lines: Vec<_> = records.iter().map(|fields| self.line(*fields)).collect::<Result<_, _>>()?;
        if !self.is_table {
            return lines.iter().try_for_each(|line| writeln!(out, "{line}")).map_err(Failure::output);
        }
        let head: String = self.pieces.iter().map(Piece::head).collect();
        let cells: Vec<Vec<String>> = lines.iter().map(|line| line.split('\t').map(str::to_owned).collect()).collect();
        table::write(out, &head.split('\t').collect::<Vec<_>>(), &cells)
    }

    fn line(&self, fields: Fields<'_>) -> Result<String, Failure> {
        self.pieces.iter().map(|piece| piece.fill(fields)).collect()
    }
}

impl Piece {
    fn read(action: &str) -> Result<Self, String> {
        let (json, field) = action.strip_prefix("json ").map_or((false, action), |rest| (true, rest.trim()));
        let name = field.strip_prefix('.').filter(|name| !name.contains(char::is_whitespace));
        match name {
            Some(name) if json => Ok(Self::Json(name.to_owned())),
            Some(name) if !name.is_empty() => Ok(Self::Field(name.to_owned())),
            _ => Err(format!("{{{{{action}}}}} is neither {{{{.Field}}}} nor {{{{json .Field}}}}")),
        }
    }

    fn fill(&self, fields: Fields<'_>) -> Result<String, Failure> {
        let of =
            |name: &str| fields(name).ok_or_else(|| Failure::Usage(format!("--format: there is no field .{name}")));
        Ok(match self {
            Self::Text(text) => text.clone(),
            Self::Json(name) => of(name)?.to_string(),
            Self::Field(name) => match of(name)? {
                serde_json::Value::String(text) => text,
                serde_json::Value::Null => String::new(),
                other => other.to_string(),
            },
        })
    }

    /// `CreatedAt` stands over its column as `CREATED AT`.
    fn head(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Field(name) | Self::Json(name) => words(name).join(" ").to_ascii_uppercase(),
        }
    }
}

/// The words of a name in camel case.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut was_small = false;
    for c in name.chars() {
        match words.last_mut() {
            Some(word) if !(was_small && c.is_ascii_uppercase()) => word.push(c),
            _ => words.push(c.to_string()),
        }
        was_small = c.is_ascii_lowercase();
    }
    words
}

/// The key of the wire that a field of this name means: `MemoryLimit` is `memory-limit`.
pub fn wire_key(field: &str) -> String {
    words(field).join("-").to_ascii_lowercase()
}

/// `\t` and `\n` as they are typed on a command line.
fn unescaped(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str) -> String {
        let fields = |name: &str| match name {
            "" => Some(serde_json::json!({"name": "a"})),
            "Name" => Some("a b".into()),
            "Size" => Some(3.into()),
            _ => None,
        };
        let mut out = Vec::new();
        match Template::read(template).map_err(Failure::Usage).and_then(|read| read.write(&mut out, &[&fields])) {
            Ok(()) => String::from_utf8(out).unwrap(),
            Err(failure) => format!("! {failure}"),
        }
    }

    #[test]
    fn fields_are_filled_in() {
        for (template, shown) in [
            ("{{.Name}}", "a b\n"),
            ("{{ .Name }}:{{.Size}}", "a b:3\n"),
            ("{{json .Name}} {{json .}}", "\"a b\" {\"name\":\"a\"}\n"),
            ("x\\t{{.Size}}", "x\t3\n"),
            ("table {{.Name}}\\t{{.Size}}", "NAME   SIZE\na b    3\n"),
            ("plain", "plain\n"),
            ("{{.None}}", "! --format: there is no field .None"),
            ("{{.Name", "! \"{{.Name\": a {{ is not closed"),
            ("{{range .}}", "! {{range .}} is neither {{.Field}} nor {{json .Field}}"),
            ("{{.}}", "! {{.}} is neither {{.Field}} nor {{json .Field}}"),
        ] {
            assert_eq!(filled(template), shown, "{template}");
        }
    }

    #[test]
    fn fields_are_keys_of_the_wire() {
        for (field, key) in [("Name", "name"), ("MemoryLimit", "memory-limit"), ("ID", "id"), ("ip", "ip")] {
            assert_eq!(wire_key(field), key);
        }
    }
}
