//! The report as one file for a browser: it loads nothing from anywhere, and nothing in it is a program.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Moment, Recovered};
use crate::recovery::invariants::Invariant;

const STYLE: &str = include_str!("page.css");
/// How wide a time line is; it is stretched to the page's width.
const WIDTH: i64 = 1000;
/// A step of no time is seen all the same.
const LEAST: i64 = 4;

impl Recovered {
    /// The report as a page of HTML; `stopped` says why the recovery ended before its end.
    ///
    /// Whatever came from a cluster or a machine is text there, whatever it holds, and the page forbids the browser to load or to run anything.
    #[must_use]
    pub fn html(&self, stopped: Option<&str>) -> String {
        let page = Page {
            recovered: self,
            stopped,
        };
        page.to_string()
    }
}

struct Page<'a> {
    recovered: &'a Recovered,
    stopped: Option<&'a str>,
}

impl Display for Page<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Recovered { scenario, run, .. } = self.recovered;
        let (class, word) = self.verdict();
        write!(
            out,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>Recovery {}: {scenario}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n\
             <span class=\"mark {class}\">{word}</span>\n<h1>Recovery: {scenario}</h1>\n<p class=\"soft code\">{}</p>\n</header>\n",
            Text(run),
            Text(run)
        )?;
        if let Some(stopped) = self.stopped {
            let (why, run) = (Text(stopped), Text(run));
            writeln!(
                out,
                "<p class=\"why\">{why}<br>It goes on with <code>etcdrx recover --resume {run}</code></p>"
            )?;
        }
        self.summary(out)?;
        self.steps(out)?;
        self.invariants(out)?;
        list(out, "What is left to do", "next", &self.recovered.next)?;
        out.write_str("</body>\n</html>\n")
    }
}

impl Page<'_> {
    fn verdict(&self) -> (&'static str, &'static str) {
        match self.stopped {
            Some(_) => ("bad", "not finished"),
            None if self.recovered.is_whole() => ("good", "recovered"),
            None => ("bad", "recovered, but not all is well"),
        }
    }

    fn summary(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let recovered = self.recovered;
        out.write_str("<dl>\n")?;
        if let Some(first) = recovered.timeline.first() {
            let began = began(first).format("%Y-%m-%d %H:%M:%S UTC").to_string();
            fact(out, "Began", &began)?;
        }
        fact(out, "Took", &took(recovered.elapsed_ms))?;
        let shown = |value: Option<String>| value.unwrap_or_else(|| "unknown".to_owned());
        let before = shown(recovered.cluster_id_before.map(|id| id.to_string()));
        let now = shown(recovered.cluster_id.map(|id| id.to_string()));
        let clusters = match before == now {
            true => format!("{now}, as before"),
            false => format!("{now}; before, {before}"),
        };
        fact(out, "Cluster", &clusters)?;
        if let Some(source) = &recovered.source {
            fact(out, "Data from", source)?;
        }
        fact(out, "Lost", &recovered.lost)?;
        if let Some(before) = recovered.revision_before {
            let after = recovered.revision_after;
            let after = after.map_or(String::new(), |after| format!(", {after} after"));
            fact(out, "Revision", &format!("{before} before{after}"))?;
        }
        if let Some(revision) = recovered.snapshot_revision {
            fact(out, "Snapshot", &format!("all up to revision {revision}"))?;
        }
        for member in &recovered.members {
            let id = shown(member.id.map(|id| id.to_string()));
            let urls = member.peer_urls.join(", ");
            fact(out, "Member", &format!("{} {id} {urls}", member.name))?;
        }
        for place in &recovered.set_aside {
            fact(out, "Set aside", place)?;
        }
        fact(out, "Kept in", &recovered.directory.display().to_string())?;
        out.write_str("</dl>\n")
    }

    fn steps(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moments = &self.recovered.timeline;
        out.write_str("<h2>What was done</h2>\n")?;
        let (Some(begin), Some(end)) = (
            moments.iter().map(began).min(),
            moments.iter().map(|moment| moment.at).max(),
        ) else {
            return out.write_str("<p>Nothing.</p>\n");
        };
        let whole = (end - begin).num_milliseconds().max(1);
        let clock = |at: DateTime<Utc>| at.format("%H:%M:%S").to_string();
        writeln!(
            out,
            "<p class=\"scale soft\"><span>{}</span><span>{}</span></p>\n<ol class=\"rows\">",
            clock(begin),
            clock(end)
        )?;
        for moment in moments {
            let (from, took_ms) = (began(moment) - begin, moment.at - began(moment));
            let width = (took_ms.num_milliseconds() * WIDTH / whole).clamp(LEAST, WIDTH);
            let from = (from.num_milliseconds() * WIDTH / whole).min(WIDTH - width);
            writeln!(
                out,
                "<li><div class=\"row\"><span>{}</span><span>{}</span></div>\n\
                 <svg viewBox=\"0 0 {WIDTH} 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect x=\"{from}\" width=\"{width}\" height=\"8\"/></svg>",
                Text(&moment.title),
                took(moment.elapsed_ms)
            )?;
            seen(out, &moment.evidence)?;
            out.write_str("</li>\n")?;
        }
        out.write_str("</ol>\n")
    }

    fn invariants(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let invariants = &self.recovered.invariants;
        if invariants.is_empty() {
            return Ok(());
        }
        out.write_str("<h2>What must hold</h2>\n<ul class=\"rows\">\n")?;
        // What does not hold is what somebody opens this page for.
        let order = |invariant: &&Invariant| match invariant.ok {
            Some(false) => 0,
            None => 1,
            Some(true) => 2,
        };
        let mut sorted: Vec<&Invariant> = invariants.iter().collect();
        sorted.sort_by_key(order);
        for invariant in sorted {
            let (class, word) = match invariant.ok {
                Some(true) => ("good", "holds"),
                Some(false) => ("bad", "does not hold"),
                None => ("open", "not checked"),
            };
            writeln!(
                out,
                "<li><div class=\"row\"><span><b>{}</b> {}</span><span class=\"mark {class}\">{word}</span></div>",
                Text(&invariant.code),
                Text(&invariant.title)
            )?;
            seen(out, &invariant.evidence)?;
            out.write_str("</li>\n")?;
        }
        out.write_str("</ul>\n")
    }
}

fn fact(out: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    writeln!(out, "<dt>{}</dt><dd>{}</dd>", Text(name), Text(value))
}

fn seen(out: &mut fmt::Formatter<'_>, evidence: &[String]) -> fmt::Result {
    if evidence.is_empty() {
        return Ok(());
    }
    out.write_str("<ul class=\"seen code\">\n")?;
    for line in evidence {
        writeln!(out, "<li>{}</li>", Text(line))?;
    }
    out.write_str("</ul>\n")
}

fn list(out: &mut fmt::Formatter<'_>, title: &str, class: &str, lines: &[String]) -> fmt::Result {
    writeln!(out, "<h2>{title}</h2>\n<ul class=\"{class}\">")?;
    for line in lines {
        writeln!(out, "<li>{}</li>", Text(line))?;
    }
    out.write_str("</ul>\n")
}

fn began(moment: &Moment) -> DateTime<Utc> {
    let took = i64::try_from(moment.elapsed_ms).ok();
    let took = took.and_then(TimeDelta::try_milliseconds);
    let began = took.and_then(|took| moment.at.checked_sub_signed(took));
    began.unwrap_or(moment.at)
}

fn took(elapsed_ms: u64) -> String {
    match elapsed_ms {
        0..1_000 => format!("{elapsed_ms} ms"),
        1_000..60_000 => format!("{:.1} s", Duration::from_millis(elapsed_ms).as_secs_f64()),
        _ => format!("{} min {} s", elapsed_ms / 60_000, elapsed_ms / 1_000 % 60),
    }
}

/// Text, whatever it holds: no element, no attribute, no character that HTML does not have or that turns the direction of writing.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for sign in self.0.chars() {
            match sign {
                '&' => out.write_str("&amp;")?,
                '<' => out.write_str("&lt;")?,
                '>' => out.write_str("&gt;")?,
                '"' => out.write_str("&quot;")?,
                '\'' => out.write_str("&#39;")?,
                '\n' | '\t' => out.write_char(sign)?,
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    write!(out, "{}", sign.escape_unicode())?;
                }
                sign if sign.is_control() => write!(out, "{}", sign.escape_default())?,
                sign => out.write_char(sign)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
