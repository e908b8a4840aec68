//! Owns the guess at what somebody meant to type.

/// The candidate nearest to `word`, if one is near enough to be a slip of the fingers.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the word may be wrong; in a short word one letter.
    let limit = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `; did you mean "canary"?`, or what there is: `; there are "stable", "canary"`.
pub fn hint(word: &str, candidates: &[&str]) -> String {
    if let Some(near) = nearest(word, candidates.iter().copied()) {
        return format!("; did you mean \"{near}\"?");
    }
    let known: Vec<String> = candidates
        .iter()
        .map(|name| format!("\"{name}\""))
        .collect();
    match known.as_slice() {
        [] => String::new(),
        [only] => format!("; there is only {only}"),
        several => format!("; there are {}", several.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::{hint, nearest};

    #[test]
    fn guesses_slips_and_nothing_else() {
        assert_eq!(nearest("canry", ["stable", "canary"]), Some("canary"));
        assert_eq!(nearest("sohp", ["shop", "stop"]), Some("shop"));
        assert_eq!(nearest("blue", ["stable", "canary"]), None);
        assert_eq!(hint("blue", &["stable"]), "; there is only \"stable\"");
        assert_eq!(hint("blue", &["a", "b"]), "; there are \"a\", \"b\"");
    }
}
