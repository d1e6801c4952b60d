use super::*;

fn written(change: impl FnOnce(&mut Written)) -> Result<Config, ConfigError> {
    let mut written = Written::default();
    change(&mut written);
    written.parse()
}

#[test]
fn with_nothing_configured_the_defaults_are_those_of_the_contract() {
    let config = written(|_| {}).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.origin(), "http://127.0.0.1:8080");
    assert_eq!(config.database.file(), Some(Path::new("vestibule-data/vestibule.sqlite")));
    assert_eq!(config.key_file, Path::new("vestibule-data/key"));
    assert!(config.smtp.is_none() && config.trusted_proxies.is_empty());
}

#[test]
fn a_public_url_has_no_path() {
    for wrong in
        ["https://id.acme.com/sso", "ftp://acme.com", "id.acme.com", "https://a@acme.com", "https://acme.com/?x"]
    {
        assert!(written(|w| w.public_url = Some(wrong.to_owned())).is_err(), "{wrong}");
    }
    assert_eq!(
        written(|w| w.public_url = Some("https://ID.Acme.com:443/".to_owned())).unwrap().origin(),
        "https://id.acme.com"
    );
}

#[test]
fn the_default_public_url_has_the_port_that_the_system_chose() {
    let listening = "127.0.0.1:4711".parse().unwrap();
    let config = |public_url: Option<&str>| {
        written(|w| {
            w.listen = Some("127.0.0.1:0".to_owned());
            w.public_url = public_url.map(str::to_owned);
        })
    };
    assert_eq!(config(None).unwrap().listening_on(listening).origin(), "http://127.0.0.1:4711");
    assert_eq!(config(Some("https://a.co")).unwrap().listening_on(listening).origin(), "https://a.co");
}

#[test]
fn cookies_are_secure_on_https_and_on_loopback() {
    let secure = |url: &str| written(|w| w.public_url = Some(url.to_owned())).unwrap().secure_cookies();
    assert!(secure("https://id.acme.com") && secure("http://localhost:8080") && secure("http://[::1]:8080"));
    assert!(!secure("http://id.acme.com"));
}

#[test]
fn an_unknown_key_is_an_error_in_the_file_and_in_the_environment() {
    assert!(toml::from_str::<Written>("lissten = '1.2.3.4:80'").is_err());
    assert!(Written::check_names(["VESTIBULE_SMTP", "PATH"]).is_err());
    assert!(Written::check_names(["VESTIBULE_SMTP_URL", "PATH"]).is_ok());
}

#[test]
fn flags_stand_over_the_environment_and_the_file() {
    let file = toml::from_str::<Written>(
        "listen = '1.1.1.1:1'\nmail_from = 'a@b.co'\ntrusted_proxies = ['10.0.0.0/8', '::1']",
    )
    .unwrap();
    let flags = Written { listen: Some("2.2.2.2:2".to_owned()), ..Written::default() };
    let config = flags.over(file).parse().unwrap();
    assert_eq!(config.listen.to_string(), "2.2.2.2:2");
    assert_eq!(config.trusted_proxies.len(), 2);
}

#[test]
fn mail_needs_a_sender() {
    assert!(matches!(written(|w| w.smtp_url = Some("smtp://x".to_owned())), Err(ConfigError::MailFrom)));
}

#[test]
fn a_database_server_is_shown_without_its_password() {
    let config = written(|w| w.database_url = Some("postgres://u:secret@h/d".to_owned())).unwrap();
    assert!(config.shown().iter().any(|(_, value)| value == "postgres://u:…@h:5432/d"));
    let error = written(|w| w.database_url = Some("mysql://u:secret@h/d".to_owned())).err().unwrap().to_string();
    assert!(error.contains("postgres://") && !error.contains("secret"), "{error}");
}

#[test]
fn what_watches_the_server_is_off_until_it_is_asked_for() {
    let config = written(|_| {}).unwrap();
    assert!(config.metrics_listen.is_none() && config.otlp_endpoint.is_none());
    assert_eq!(config.log_format, LogFormat::Text);
    let empty = written(|w| (w.metrics_listen, w.otlp_endpoint) = (Some(String::new()), Some(String::new()))).unwrap();
    assert!(empty.metrics_listen.is_none() && empty.otlp_endpoint.is_none());
}

#[test]
fn a_collector_is_a_plain_address_without_a_password() {
    let address = |text: &str| written(|w| w.otlp_endpoint = Some(text.to_owned())).map(|config| config.otlp_endpoint);
    for (typed, used) in [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("https://otlp.acme.com/", "https://otlp.acme.com/v1/traces"),
        ("https://acme.com/otlp", "https://acme.com/otlp/v1/traces"),
        ("https://acme.com/v1/traces", "https://acme.com/v1/traces"),
    ] {
        assert_eq!(address(typed).unwrap().unwrap().as_str(), used);
    }
    for wrong in ["127.0.0.1:4318", "grpc://acme.com", "https://user:canary@acme.com", "https://acme.com/?key=canary"] {
        let error = address(wrong).unwrap_err().to_string();
        assert!(error.starts_with("otlp_endpoint must be") && !error.contains("canary"), "{error}");
    }
}
