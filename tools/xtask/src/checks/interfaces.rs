//! The D-Bus interfaces that are checked in: well-formed, and whole enough to generate a caller from.

use std::path::Path;

use roxmltree::{Document, Node, ParsingOptions};

use crate::{
    verdict::{Finding, Verdict},
    workspace::Workspace,
};

/// Looks at every XML file of ipc-schema.
pub fn check(workspace: &Workspace) -> anyhow::Result<Verdict> {
    let files: Vec<_> =
        workspace.files(&[".xml"])?.into_iter().filter(|file| file.starts_with("ipc-schema")).collect();
    let mut findings = Vec::new();
    for file in &files {
        findings.extend(judge(file, &workspace.read(file)?));
    }
    if files.is_empty() {
        findings.push(Finding::new("ipc-schema/dbus", "holds no interface"));
    }
    Ok(Verdict::of(findings, format!("{} files", files.len())))
}

fn judge(file: &Path, xml: &str) -> Vec<Finding> {
    let place = |line: u32| format!("{}:{line}", file.display());
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    let document = match Document::parse_with_options(xml, options) {
        Ok(document) => document,
        Err(error) => return vec![Finding::new(place(error.pos().row), error.to_string())],
    };
    let mut interfaces = 0;
    let mut findings = Vec::new();
    for node in document.descendants().filter(Node::is_element) {
        interfaces += u32::from(node.has_tag_name("interface"));
        let line = document.text_pos_at(node.range().start).row;
        let tag = node.tag_name().name();
        for missing in required(tag).iter().filter(|attribute| !node.has_attribute(**attribute)) {
            findings.push(Finding::new(place(line), format!("<{tag}> without `{missing}`")));
        }
    }
    if interfaces == 0 {
        findings.push(Finding::new(place(1), "describes no interface"));
    }
    findings
}

fn required(tag: &str) -> &'static [&'static str] {
    match tag {
        "interface" | "method" | "signal" => &["name"],
        "property" => &["name", "type", "access"],
        // A result needs no name, and zbus gives it none.
        "arg" => &["type"],
        "annotation" => &["name", "value"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\" \"x\">\n\
        <node><interface name='org.lumen.Stage1'><method name='Status'>\n\
        <arg name='status' type='a{sv}' direction='out'/></method></interface></node>";

    fn findings(xml: &str) -> usize {
        judge(Path::new("ipc-schema/dbus/x.xml"), xml).len()
    }

    #[test]
    fn an_interface_is_whole() {
        assert_eq!(findings(GOOD), 0);
        assert_eq!(findings(&GOOD.replace("</method>", "")), 1, "not well-formed");
        assert_eq!(findings(&GOOD.replace("type='a{sv}'", "")), 1, "an argument without a type");
        assert_eq!(findings("<node/>"), 1, "no interface at all");
    }
}
