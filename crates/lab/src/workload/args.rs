//! Arguments of `sekisho workload`.

use std::net::IpAddr;
use std::time::Duration;

use super::url::Url;

/// What is served at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Http,
    Tcp,
    Udp,
    Redis,
    Postgres,
    Metrics,
}

/// All that a serving or calling workload was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Args {
    pub(super) listeners: Vec<(Service, u16)>,
    pub(super) bind: Option<IpAddr>,
    pub(super) calls: Vec<Url>,
    pub(super) scrape: Option<Duration>,
}

impl Args {
    pub(super) fn parse(words: &[&str]) -> Result<Self, String> {
        let mut args = Self::default();
        let mut words = words.iter();
        while let Some(flag) = words.next() {
            let mut value =
                || words.next().copied().ok_or_else(|| format!("`{flag}` needs a value"));
            let service = match *flag {
                "--http" => Service::Http,
                "--tcp" => Service::Tcp,
                "--udp" => Service::Udp,
                "--redis" => Service::Redis,
                "--postgres" => Service::Postgres,
                "--metrics" => Service::Metrics,
                "--call" => {
                    args.calls.push(Url::parse(value()?)?);
                    continue;
                }
                "--bind" => {
                    let text = value()?;
                    let address =
                        text.parse().map_err(|_text| format!("`{text}` is no address"))?;
                    args.bind = Some(address);
                    continue;
                }
                "--scrape" => {
                    let seconds: u64 =
                        value()?.parse().map_err(|_text| "--scrape needs seconds".to_owned())?;
                    args.scrape = Some(Duration::from_secs(seconds.max(1)));
                    continue;
                }
                other => return Err(format!("unknown argument `{other}`")),
            };
            let text = value()?;
            let port = text.parse().map_err(|_text| format!("`{text}` is no port"))?;
            args.listeners.push((service, port));
        }
        Ok(args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_calls_and_the_rest_are_read() {
        let args = Args::parse(&["--http", "80", "--udp", "53", "--call", "http://x@2/s"]).unwrap();
        assert_eq!(args.listeners, [(Service::Http, 80), (Service::Udp, 53)]);
        assert_eq!(args.calls.len(), 1);
        for wrong in [&["--http"][..], &["--http", "x"], &["--what", "1"], &["--bind", "x"]] {
            assert!(Args::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
