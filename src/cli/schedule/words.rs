//! How a job is typed.

use etcdrx::schedule::Job;

/// The words after the program's name; never two at once.
pub(super) fn words(job: Job, endpoints: &[String]) -> Vec<String> {
    let mut words: Vec<String> = job.command().split(' ').map(str::to_owned).collect();
    let endpoints = endpoints.join(",");
    let rest: &[&str] = match job {
        Job::Backup => &[],
        Job::Verify | Job::Drill => &["latest"],
        Job::Prune => &["--yes"],
        Job::Certificates => &["--endpoints", &endpoints],
    };
    words.extend(rest.iter().map(|word| (*word).to_owned()));
    words
}

/// The same where another scheduler may begin several at once: what writes waits for what writes already.
pub(super) fn patient_words(job: Job, endpoints: &[String]) -> Vec<String> {
    let mut words = words(job, endpoints);
    if matches!(job, Job::Backup | Job::Prune) {
        words.extend(["--wait", "5m"].map(str::to_owned));
    }
    words
}
