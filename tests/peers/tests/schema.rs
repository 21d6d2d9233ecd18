//! The JSON Schema of policies, under a validator of others: it is a schema, published policies that are strict fit it,
//! and what is no policy does not.

use boon::{Compiler, Schemas};
use millstream::policy::{ParseOptions, Policy, schema};
use serde_json::{Value, json};
use std::path::Path;

fn compiled() -> (Schemas, boon::SchemaIndex) {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource("policy.json", serde_json::from_str(&schema()).unwrap()).unwrap();
    let index = compiler.compile("policy.json", &mut schemas).unwrap();
    (schemas, index)
}

#[test]
fn published_policies_that_the_parser_takes_without_a_warning_fit_the_schema() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/policies");
    if !dir.is_dir() {
        return println!("skipped: there are no policies at {}", dir.display());
    }
    let (schemas, index) = compiled();
    let mut fit = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let Ok(policy) = serde_json::from_str::<Value>(&text) else { continue };
        let strict = ParseOptions { strict: true, ..ParseOptions::default() };
        if Policy::parse_with(&text, &strict).is_ok_and(|parsed| parsed.warnings.is_empty()) {
            if let Err(error) = schemas.validate(&policy, index) {
                panic!("{}: {error}", path.display());
            }
            fit += 1;
        }
    }
    assert!(fit >= 10, "{fit} policies");
}

#[test]
fn what_has_the_wrong_keys_or_kinds_does_not_fit() {
    let (schemas, index) = compiled();
    let fits = |policy: &Value| schemas.validate(policy, index).is_ok();
    assert!(fits(
        &json!({ "s": [ { "a": { "endpoint": "a.test", "port": 443, "protocol": "h1", "tls": true } } ] })
    ));
    for bad in [
        json!([]),
        json!({ "streams": [] }),
        json!({ "s": {} }),
        json!({ "s": [ { "a": { "port": 65536 } } ] }),
        json!({ "s": [ { "a": { "port": "443" } } ] }),
        json!({ "s": [ { "a": { "tls": 1 } } ] }),
        json!({ "s": [ { "a": { "protocol": "gopher" } } ] }),
        json!({ "s": [ { "a": { "endpiont": "a.test" } } ] }),
        json!({ "s": [ { "a": { "http_resp_map": [ { "530": 999 } ] } } ] }),
        json!({ "retry": [ { "a": { "backoff": [ "soon" ] } } ] }),
    ] {
        assert!(!fits(&bad), "{bad}");
    }
}
