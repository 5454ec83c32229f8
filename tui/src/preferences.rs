//! What the user likes: from the configuration file, then from the command line, then by key.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::keymap::KeyMap;
use crate::theme::Palette;
use crate::time::Zone;

/// The configuration file, all of it optional.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) palette: Option<Palette>,
    pub(crate) ascii: Option<bool>,
    pub(crate) mouse: Option<bool>,
    pub(crate) read_only: Option<bool>,
    pub(crate) time_zone: Option<String>,
    #[serde(default)]
    pub(crate) keys: BTreeMap<String, Vec<String>>,
}

/// What is in force.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent choices")]
pub(crate) struct Preferences {
    pub(crate) palette: Palette,
    pub(crate) no_color: bool,
    pub(crate) ascii: bool,
    pub(crate) mouse: bool,
    pub(crate) read_only: bool,
    pub(crate) zone: Zone,
    pub(crate) keymap: KeyMap,
}

impl File {
    /// Reads a configuration. `None` text: there is no file.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| format!("{}: {}", path.display(), error.to_string().trim()))
    }
}

impl Preferences {
    /// Checks what the file says.
    pub(crate) fn new(file: &File) -> Result<Self, String> {
        Ok(Self {
            palette: file.palette.unwrap_or_default(),
            no_color: false,
            ascii: file.ascii.unwrap_or(false),
            mouse: file.mouse.unwrap_or(false),
            read_only: file.read_only.unwrap_or(false),
            zone: Zone::named(file.time_zone.as_deref().unwrap_or("local"))?,
            keymap: KeyMap::with(&file.keys)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_is_understood() {
        let text = "palette = \"light\"\nascii = true\nmouse = true\nread_only = true\ntime_zone = \"utc\"\n\
                    [keys]\nquit = [\"x\"]\n";
        let preferences = Preferences::new(&File::parse(Path::new("f"), text).unwrap()).unwrap();
        assert_eq!(preferences.palette, Palette::Light);
        assert!(preferences.ascii && preferences.mouse && preferences.read_only);
        assert_eq!(preferences.zone.name(), "utc");
    }

    #[test]
    fn a_fault_names_the_file_and_what_would_be_right() {
        let fault = File::parse(Path::new("tui.toml"), "palette = \"pink\"").unwrap_err();
        assert!(fault.contains("tui.toml") && fault.contains("deuteranopia"), "{fault}");
        let fault = File::parse(Path::new("tui.toml"), "colour = 1").unwrap_err();
        assert!(fault.contains("unknown field") && fault.contains("palette"), "{fault}");
    }
}
