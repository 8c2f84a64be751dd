//! D-Bus values as JSON: what lumenctl prints with `--json`, and what it reads figures from.

use std::collections::HashMap;

use serde_json::{Map, Number, Value};
use zbus::{OwnedVariant, Variant};

/// A dictionary that came over the bus.
pub fn of_dict(dict: HashMap<String, OwnedVariant>) -> Map<String, Value> {
    dict.into_iter().map(|(key, value)| (key, of(&value))).collect()
}

/// One value. A file descriptor, which no text can carry, becomes null.
fn of(variant: &Variant<'_>) -> Value {
    match variant {
        Variant::U8(number) => (*number).into(),
        Variant::Bool(truth) => (*truth).into(),
        Variant::I16(number) => (*number).into(),
        Variant::U16(number) => (*number).into(),
        Variant::I32(number) => (*number).into(),
        Variant::U32(number) => (*number).into(),
        Variant::I64(number) => (*number).into(),
        Variant::U64(number) => (*number).into(),
        Variant::F64(number) => Number::from_f64(*number).map_or(Value::Null, Value::Number),
        Variant::Str(text) => text.as_str().into(),
        Variant::Signature(signature) => signature.to_string().into(),
        Variant::ObjectPath(path) => path.as_str().into(),
        Variant::Variant(inner) => of(inner),
        Variant::Array(array) => array.inner().iter().map(of).collect(),
        Variant::Dict(dict) => dict.iter().map(|(key, value)| (key_of(key), of(value))).collect(),
        Variant::Structure(structure) => structure.fields().iter().map(of).collect(),
        Variant::Fd(_) => Value::Null,
    }
}

fn key_of(key: &Variant<'_>) -> String {
    match of(key) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_values_become_json() {
        let inner: HashMap<&str, Variant<'_>> =
            HashMap::from([("mode", "1280x720@60".into()), ("read", 7u64.into())]);
        let sessions = Variant::from(vec![inner]);
        assert_eq!(of(&sessions), serde_json::json!([{ "mode": "1280x720@60", "read": 7 }]));
        assert_eq!(of(&Variant::from(vec![0.5, 2.0])), serde_json::json!([0.5, 2.0]));
    }
}
