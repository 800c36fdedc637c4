//! Passwords and their hashes with argon2id (RFC 9106), and tokens.

use std::sync::LazyLock;

use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHash, PasswordHasher as _, Salt, SaltString};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use rta_shared::sanitize::hex;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Minimum parameters that OWASP's Password Storage Cheat Sheet names for argon2id: 19 MiB, 2 rounds, 1 lane.
const MIN_PARAMETERS: (u32, u32) = (19_456, 2);
/// Maximum parameters, so that one attempt cannot exhaust memory or time: 256 MiB, 10 rounds, 8 lanes.
const MAX_PARAMETERS: (u32, u32, u32) = (262_144, 10, 8);
/// Minimum number of characters of a password: it is the only factor (NIST SP 800-63B, section 5.1.1).
const MIN_PASSWORD_CHARS: usize = 12;
/// Maximum length of a password, in bytes; a longer one only costs time.
const MAX_PASSWORD_BYTES: usize = 1_000;

/// Minimum allocation for a check, in blocks of 1 KiB. glibc maps allocations of this size separately, and
/// returns them to the system as soon as they are freed (mallopt(3): the threshold does not rise above 32
/// MiB). Smaller ones would come from its arenas, of which each thread makes its own, and stay there: 300
/// wrong passwords made 700 MB of that. Unused pages take no memory.
const MIN_BLOCKS: usize = 33 * 1024;

/// Hash that matches no password.
static UNMATCHABLE_HASH: LazyLock<Option<String>> = LazyLock::new(|| hash_password(&random_hex()?).ok());

/// Hashes a password for the users file.
///
/// # Errors
/// Returns an error, as a sentence, if the password is too short or too long, or if there is no randomness.
pub fn hash_password(password: &str) -> Result<String, String> {
    let letters = password.chars().count();
    if letters < MIN_PASSWORD_CHARS || password.len() > MAX_PASSWORD_BYTES {
        return Err(format!(
            "a password has at least {MIN_PASSWORD_CHARS} letters and at most {MAX_PASSWORD_BYTES} bytes, this one has {letters} letters"
        ));
    }
    let parameters =
        Params::new(MIN_PARAMETERS.0, MIN_PARAMETERS.1, 1, None).map_err(|error| error.to_string())?;
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters);
    let salt = SaltString::generate(&mut OsRng);
    let hash = hasher.hash_password(password.as_bytes(), &salt).map_err(|error| error.to_string())?;
    Ok(hash.to_string())
}

/// Returns the reason why a hash cannot be used, as part of a sentence.
pub(crate) fn hash_problem(hash: &str) -> Option<String> {
    const HINT: &str = "make one with rta user hash";
    let Ok(parsed) = PasswordHash::new(hash) else { return Some(format!("is no password hash; {HINT}")) };
    if parsed.algorithm.as_str() != "argon2id" || parsed.hash.is_none() {
        return Some(format!("is not of argon2id; {HINT}"));
    }
    let Ok(parameters) = Params::try_from(&parsed) else {
        return Some(format!("has parameters that argon2id does not have; {HINT}"));
    };
    let (memory, rounds, lanes) = (parameters.m_cost(), parameters.t_cost(), parameters.p_cost());
    if memory < MIN_PARAMETERS.0 || rounds < MIN_PARAMETERS.1 {
        return Some(format!(
            "is too weak (m={memory}, t={rounds}; at least m={}, t={}); {HINT}",
            MIN_PARAMETERS.0, MIN_PARAMETERS.1
        ));
    }
    if memory > MAX_PARAMETERS.0 || rounds > MAX_PARAMETERS.1 || lanes > MAX_PARAMETERS.2 {
        return Some(format!(
            "would take too much at every attempt (m={memory}, t={rounds}, p={lanes}; at most m={}, t={}, p={}); {HINT}",
            MAX_PARAMETERS.0, MAX_PARAMETERS.1, MAX_PARAMETERS.2
        ));
    }
    None
}

/// Returns true if a password matches a hash. Without a hash it does not, and takes as long. Takes some 20
/// ms.
pub(crate) fn check_password(hash: Option<&str>, password: &str) -> bool {
    let is_known = hash.is_some();
    let Some(hash) = hash.or(UNMATCHABLE_HASH.as_deref()) else { return false };
    verify(hash, password).unwrap_or_default() && is_known
}

/// Returns true if a password matches a hash; `None` if the hash is invalid or memory is short.
fn verify(hash: &str, password: &str) -> Option<bool> {
    let hash = PasswordHash::new(hash).ok()?;
    let (salt, expected) = (hash.salt?, hash.hash?);
    let mut buffer = [0; Salt::MAX_LENGTH];
    let salt = salt.decode_b64(&mut buffer).ok()?;
    let parameters = Params::try_from(&hash).ok()?;
    let version = hash.version.map_or(Ok(Version::V0x13), Version::try_from).ok()?;
    let mut blocks: Vec<Block> = Vec::new();
    blocks.try_reserve_exact(parameters.block_count().max(MIN_BLOCKS)).ok()?;
    blocks.resize(parameters.block_count(), Block::default());
    let mut found = vec![0; expected.len()];
    let hasher = Argon2::new(Algorithm::Argon2id, version, parameters);
    hasher.hash_password_into_with_memory(password.as_bytes(), salt, &mut found, &mut blocks).ok()?;
    Some(expected.as_bytes().ct_eq(&found).into())
}

/// Returns 256 random bits in hexadecimal; `None` if the system has no randomness.
pub(crate) fn random_hex() -> Option<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).ok()?;
    Some(hex(&bytes))
}

/// Creates a token. Returns it with the digest for the users file.
///
/// # Errors
/// Returns an error if there is no randomness.
pub fn new_token() -> Result<(String, String), String> {
    let token = format!("rta_{}", random_hex().ok_or("this system has no randomness")?);
    let digest = token_digest(&token);
    Ok((token, digest))
}

/// Returns the SHA-256 of a token, in hexadecimal. A token has 256 random bits and cannot be guessed, so that
/// a slower hash is not needed.
pub(crate) fn token_digest(token: &str) -> String {
    hex(&Sha256::digest(token))
}

/// Returns a token as masked for one page. The mask differs on every page, so that compressed pages do not
/// reveal the token character by character (the BREACH attack). Empty if the system has no randomness.
pub(crate) fn mask_token(token: &str) -> String {
    let (Some(token), Some(veil)) = (decode_hex(token), random_hex()) else { return String::new() };
    let Some(veil) = decode_hex(&veil) else { return String::new() };
    let mixed: Vec<u8> = token.iter().zip(&veil).map(|(token, veil)| token ^ veil).collect();
    hex(&[veil, mixed].concat())
}

/// Returns true if `text` is `token` as masked for some page.
pub(crate) fn matches_masked(text: &str, token: &str) -> bool {
    let Some(text) = decode_hex(text) else { return false };
    let (veil, mixed) = text.split_at(text.len() / 2);
    let unveiled: Vec<u8> = mixed.iter().zip(veil).map(|(mixed, veil)| mixed ^ veil).collect();
    veil.len() == mixed.len() && constant_time_eq(&hex(&unveiled), token)
}

/// Decodes hexadecimal text.
fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

/// Compares in a time that does not depend on the position of the first difference.
pub(crate) fn constant_time_eq(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_told_by_its_hash_alone() {
        let hash = hash_password("correct horse battery").unwrap();
        assert_eq!(hash_problem(&hash), None);
        assert!(check_password(Some(&hash), "correct horse battery"));
        assert!(
            !check_password(Some(&hash), "correct horse batterx")
                && !check_password(None, "correct horse battery")
        );
        assert!(super::hash_password("too short").unwrap_err().contains("at least 12 letters"));
    }

    #[test]
    fn hashes_that_are_weak_foreign_or_ruinous_are_refused() {
        let end = "$c29tZXNhbHRzb21lc2FsdA$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A";
        for (hash, expected) in [
            ("secret".to_owned(), "is no password hash"),
            ("$2b$12$abcdefghijklmnopqrstuv".to_owned(), "is n"),
            (format!("$argon2i$v=19$m=19456,t=2,p=1{end}"), "is not of argon2id"),
            (format!("$argon2id$v=19$m=4096,t=3,p=1{end}"), "is too weak"),
            (format!("$argon2id$v=19$m=4000000,t=2,p=1{end}"), "would take too much"),
        ] {
            let problem = hash_problem(&hash).unwrap();
            assert!(problem.contains(expected) && problem.contains("rta user hash"), "{problem}");
        }
    }

    #[test]
    fn tokens_are_random_and_known_by_their_digest() {
        let (token, known) = new_token().unwrap();
        assert!(token.starts_with("rta_") && token.len() == 68 && token_digest(&token) == known);
        assert_ne!(new_token().unwrap().0, token);
        let secret = random_hex().unwrap();
        let (one, two) = (mask_token(&secret), mask_token(&secret));
        assert!(one != two && matches_masked(&one, &secret) && matches_masked(&two, &secret));
        for wrong in ["", "zz", "abc", secret.as_str(), &mask_token(&random_hex().unwrap())] {
            assert!(!matches_masked(wrong, &secret), "{wrong}");
        }
        assert!(constant_time_eq("a", "a") && !constant_time_eq("a", "b") && !constant_time_eq("a", "aa"));
    }
}
