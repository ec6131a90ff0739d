//! Where words go: answers to stdout, everything else to stderr.

use std::env;
use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use etcdrx::manifest::{Finding, Severity};
use etcdrx::progress::{Event, Progress, StepEvent, StepState};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::args::{Color, Global};
use super::failure::Failure;

/// The two output streams, as the user wants them.
pub(crate) struct Screen {
    pub(crate) json: bool,
    quiet: bool,
    pub(crate) colour: bool,
    bar: ProgressBar,
}

impl Screen {
    pub(crate) fn new(global: &Global) -> Self {
        let terminal = io::stderr().is_terminal();
        let silent = global.quiet || global.json;
        let colour = match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        let bar = ProgressBar::no_length();
        let drawn = terminal && !silent && !global.no_progress;
        bar.set_draw_target(match drawn {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        });
        let style =
            ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec}");
        bar.set_style(style.expect("the template is well formed"));
        Self {
            json: global.json,
            quiet: silent,
            colour,
            bar,
        }
    }

    /// Writes the answer; a reader that went away is no failure of ours.
    pub(crate) fn answer_bytes(&self, bytes: &[u8]) {
        self.bar.finish_and_clear();
        let mut stdout = io::stdout().lock();
        let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
    }

    /// Writes the answer as text.
    pub(crate) fn answer(&self, text: &str) {
        self.answer_bytes(format!("{}\n", text.trim_end_matches('\n')).as_bytes());
    }

    /// Writes the answer as the one JSON document.
    pub(crate) fn answer_json(&self, document: &impl Serialize) {
        let text = serde_json::to_string_pretty(document);
        self.answer(&text.expect("answers hold nothing that JSON cannot"));
    }

    /// Writes one line of a stream of JSON documents.
    pub(crate) fn answer_json_line(&self, document: &impl Serialize) {
        let text = serde_json::to_string(document);
        self.answer(&text.expect("answers hold nothing that JSON cannot"));
    }

    /// Tells how a step of a recovery is.
    fn step(&self, step: &StepEvent) {
        self.bar.reset();
        if self.json {
            #[derive(Serialize)]
            struct Told<'a> {
                event: &'static str,
                #[serde(flatten)]
                step: &'a StepEvent,
            }
            self.answer_json_line(&Told {
                event: "step",
                step,
            });
            return;
        }
        let place = format!("[{}/{}]", step.n, step.of);
        let seconds = Duration::from_millis(step.elapsed_ms).as_secs_f64();
        let ending = match step.state {
            StepState::Started => {
                self.note(&format!("{place} {} …", step.title));
                return;
            }
            StepState::Done => format!("done in {seconds:.2} s"),
            StepState::Already => "was so already".to_owned(),
            StepState::Failed => self.paint("31;1", &format!("failed after {seconds:.2} s")),
        };
        self.note(&format!("{place} {}: {ending}", step.title));
        for evidence in &step.evidence {
            self.note(&format!("        {}", evidence.replace('\n', "\n        ")));
        }
    }

    /// Says something on the way.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            self.to_stderr(text);
        }
    }

    /// Says something that deserves attention.
    pub(crate) fn warn(&self, text: &str) {
        if !self.quiet {
            self.to_stderr(&format!("{} {text}", self.paint("33", "warning:")));
        }
    }

    /// Says what is wrong though the command worked, also where quiet was asked for.
    pub(crate) fn findings(&self, findings: &[Finding]) {
        if self.json {
            return;
        }
        for finding in findings.iter().filter(|f| f.severity == Severity::Error) {
            let label = self.paint("31;1", "finding:");
            self.to_stderr(&format!("{label} [{}] {}", finding.code, finding.message));
        }
    }

    /// Says why the command failed, and what to do next.
    pub(crate) fn failure(&self, failure: &Failure) {
        if self.json {
            self.to_stderr(&failure.to_json().to_string());
            return;
        }
        let mut text = format!("{} {}", self.paint("31;1", "error:"), failure.message);
        for cause in &failure.causes {
            text.push_str("\n  because: ");
            text.push_str(&cause.replace('\n', "\n  "));
        }
        for hint in &failure.hints {
            text.push('\n');
            text.push_str(&self.paint("36", "hint:"));
            text.push(' ');
            text.push_str(hint);
        }
        self.to_stderr(&text);
    }

    fn paint(&self, code: &str, text: &str) -> String {
        match self.colour {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }

    fn to_stderr(&self, text: &str) {
        self.bar.suspend(|| {
            let _ = writeln!(io::stderr().lock(), "{text}");
        });
    }

    /// Whether somebody is there to be asked.
    pub(crate) fn can_ask(&self) -> bool {
        !self.json && io::stdin().is_terminal()
    }

    /// Whether somebody types `yes`.
    pub(crate) fn ask(&self, question: &str) -> bool {
        self.clear();
        let mut stderr = io::stderr();
        let _ = write!(stderr, "{question} Type yes: ").and_then(|()| stderr.flush());
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer);
        read.is_ok() && answer.trim() == "yes"
    }

    /// Ends the bar: what follows stands on clean lines.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Screen {
    fn event(&self, event: Event) {
        match event {
            Event::Stage(text) => {
                self.bar.reset();
                self.note(&text);
            }
            Event::Warning(text) => self.warn(&text),
            Event::Bytes { done, total } => {
                if let Some(total) = total {
                    self.bar.set_length(total);
                }
                self.bar.set_position(done);
            }
            Event::Backup(id) => {
                self.bar.reset();
                self.note(id.as_str());
            }
            Event::Step(step) => self.step(&step),
        }
    }
}
