//! The address of a MySQL or MariaDB database.
//!
//! Owns its checking and its masking: the password leaves only through [`DatabaseUrl::expose`], so that no log, error
//! or `Debug` can show it by accident. Never connects.

use std::fmt;

use url::Url;

/// A checked `mysql://` address. `Debug` and `Display` mask the password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(Url);

impl DatabaseUrl {
    /// The whole address, password included, with the scheme `mysql`; only for the database client.
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }

    /// `sqlite` is the word for "none", so that a later source can take back what an earlier one set.
    pub(super) fn read(text: &str) -> Result<Option<Self>, String> {
        if text == "sqlite" {
            return Ok(None);
        }
        Self::parse(text).map(Some)
    }

    #[expect(clippy::ref_option, reason = "the table hands out the field's own type")]
    pub(super) fn show(url: &Option<Self>) -> String {
        url.as_ref().map_or_else(|| "sqlite".to_owned(), Self::to_string)
    }

    /// No error repeats any part of the text: where the mistake is a special character in the password, every part of
    /// what was understood may be a part of the password.
    fn parse(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err("it has no scheme".to_owned());
        };
        if !matches!(scheme, "mysql" | "mariadb") {
            return Err(
                "its scheme is neither mysql nor mariadb (SQLite is the default and needs no address)".to_owned(),
            );
        }
        let special = "special characters in the user name or password must be percent-encoded, `@` as `%40`";
        let url = Url::parse(&format!("mysql://{rest}")).map_err(|error| format!("{error}; {special}"))?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err("it names no host".to_owned());
        }
        let database = url.path().trim_start_matches('/');
        if database.contains(['/', '@']) || url.fragment().is_some() || url.query().is_some_and(|q| q.contains('@')) {
            return Err(special.to_owned());
        }
        if database.is_empty() {
            return Err("it names no database: put `/name` after the host".to_owned());
        }
        if !ovation_schema::is_usable_address(url.as_str()) {
            return Err("it has a parameter that is not known or not usable (see docs/configuration.md)".to_owned());
        }
        Ok(Self(url))
    }
}

impl std::str::FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut masked = self.0.clone();
        // An address without a host can't hold a password and is the only one this refuses.
        if masked.password().is_some() && masked.set_password(Some("***")).is_err() {
            return f.write_str("***");
        }
        f.write_str(masked.as_str())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_schemes_are_the_same() {
        for text in [
            "mysql://u:p@db.example:3306/ovation",
            "mariadb://u:p@db.example:3306/ovation",
        ] {
            assert_eq!(
                DatabaseUrl::parse(text).unwrap().expose(),
                "mysql://u:p@db.example:3306/ovation"
            );
        }
        assert!(DatabaseUrl::parse("mysql://root@[::1]/ovation?require_ssl=true").is_ok());
        assert!(DatabaseUrl::parse("mysql://u@db/ovation?ssl_ca=%2Fetc%2Fca.pem&verify_identity=false").is_ok());
        assert_eq!(DatabaseUrl::read("sqlite"), Ok(None));
    }

    #[test]
    fn the_password_is_shown_nowhere() {
        let url = DatabaseUrl::parse("mysql://ann:hunter2@db/ovation").unwrap();
        for shown in [
            format!("{url}"),
            format!("{url:?}"),
            format!("{:?}", Some(&url)),
            DatabaseUrl::show(&Some(url)),
        ] {
            assert!(
                shown.contains("***") && shown.contains("ann") && !shown.contains("hunter2"),
                "{shown}"
            );
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        for (text, word) in [
            ("ovation", "scheme"),
            ("postgres://u:p@db/ovation", "neither mysql nor mariadb"),
            ("sqlite:///tmp/x", "SQLite is the default"),
            ("mysql://u:p@db", "names no database"),
            ("mysql://u:p@db/", "names no database"),
            ("mysql:///ovation", "host"),
            ("mysql://u:p@db/ovation?require_sll=true", "a parameter"),
            ("mysql://u:p@db/ovation?require_ssl=perhaps", "a parameter"),
        ] {
            let error = DatabaseUrl::parse(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn a_password_that_is_not_encoded_is_refused_and_not_repeated() {
        for text in [
            "mysql://ann:hun#ter2@db/ovation",
            "mysql://ann:hun/ter2@db/ovation",
            "mysql://ann:12/hunter2@db/ovation",
            "mysql://ann:12/hunter2@db",
            "mysql://ann:1/x?hunter2@db/ovation",
            "mysql://ann:hunter2@db/a/b",
            "hunter2",
            "hunter2://x/y",
        ] {
            let error = DatabaseUrl::parse(text).expect_err(text);
            assert!(!error.contains("ter2") && !error.contains("ann"), "{text}: {error}");
        }
    }
}
