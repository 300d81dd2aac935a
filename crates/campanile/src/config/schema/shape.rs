//! What may stand where: tables of fixed keys, and tables of one shape under names of the
//! operator's choice.

use super::foreign::{self, FOREIGN, FOREIGN_OPTIONS, FOREIGN_PROXY, Foreign};
use super::proxy::{NAMED_PROXY, NAMED_RPC_NAMESPACE, TRANSFORM};
use super::{NAMESPACE_OPTIONS, SECTIONS, Section};

/// What a table with everything below it may be. Paths in it count from that table.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Tables with fixed keys, that itself under the empty path.
    pub(crate) sections: &'static [Section],
    /// Tables of one shape each, under any name.
    pub(crate) named: &'static [Named],
    /// What has no effect, by the path it stands below.
    pub(super) foreign: &'static [(&'static str, &'static [Foreign])],
}

/// Tables of one shape under names, written as a list of tables with a `name` or as tables by name.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) path: &'static str,
    /// What each of them is, with its article.
    pub(crate) noun: &'static str,
    /// A name that means something else; empty for none.
    pub(crate) reserved: &'static str,
    pub(crate) shape: Shape,
}

/// The file as a whole.
pub(crate) static FILE: Shape = Shape {
    sections: SECTIONS,
    named: NAMED,
    foreign: &[
        ("", FOREIGN),
        ("channel.without_namespace", FOREIGN_OPTIONS),
        ("client.proxy.connect", FOREIGN_PROXY),
        ("client.proxy.refresh", FOREIGN_PROXY),
        ("channel.proxy.subscribe", FOREIGN_PROXY),
        ("channel.proxy.publish", FOREIGN_PROXY),
        ("channel.proxy.sub_refresh", FOREIGN_PROXY),
        ("rpc.proxy", FOREIGN_PROXY),
    ],
};

/// All places where names are free.
pub(crate) const NAMED: &[Named] = &[
    Named {
        path: "channel.namespaces",
        noun: "a namespace",
        reserved: "",
        shape: Shape {
            sections: &[Section::new("", NAMESPACE_OPTIONS)],
            named: &[],
            foreign: &[("", FOREIGN_OPTIONS)],
        },
    },
    Named {
        path: "rpc.namespaces",
        noun: "a namespace",
        reserved: "",
        shape: Shape {
            sections: NAMED_RPC_NAMESPACE,
            named: &[],
            foreign: &[],
        },
    },
    Named {
        path: "proxies",
        noun: "a proxy",
        reserved: "default",
        shape: Shape {
            sections: NAMED_PROXY,
            named: &[],
            foreign: &[("", FOREIGN_PROXY)],
        },
    },
];

/// One entry of `status_to_code_transforms`.
pub(crate) static TRANSFORMS: Shape = Shape {
    sections: TRANSFORM,
    named: &[],
    foreign: &[],
};

impl Shape {
    /// The section at exactly this path.
    pub(crate) fn section(&self, path: &str) -> Option<&'static Section> {
        self.sections.iter().find(|section| section.path == path)
    }

    /// What has free names at exactly this path.
    pub(crate) fn named(&self, path: &str) -> Option<&'static Named> {
        self.named.iter().find(|named| named.path == path)
    }

    /// Whether a table belongs at `path`: one that matters, or one with keys that do not.
    pub(crate) fn is_table(&self, path: &str) -> bool {
        let is_below = |whole: &str| {
            whole
                .strip_prefix(path)
                .is_some_and(|rest| rest.starts_with('.'))
        };
        let own = self.sections.iter().map(|section| section.path);
        own.clone().any(|own| own == path || is_below(own))
            || self.named.iter().any(|named| is_below(named.path))
            || self
                .foreign
                .iter()
                .any(|(parent, list)| parent.is_empty() && list.iter().any(|f| is_below(f.path())))
    }

    /// What has no effect at this path.
    pub(crate) fn foreign(&self, path: &str) -> Option<&'static Foreign> {
        self.foreign.iter().find_map(|(parent, list)| {
            let below = match *parent {
                "" => Some(path),
                parent => path.strip_prefix(parent)?.strip_prefix('.'),
            };
            foreign::find(list, below?)
        })
    }

    /// The names that may stand in the table at `path`: settings and tables.
    pub(crate) fn children(&self, path: &str) -> Vec<&'static str> {
        let prefix = if path.is_empty() {
            String::new()
        } else {
            format!("{path}.")
        };
        let tables = self.sections.iter().map(|section| section.path);
        let tables = tables
            .chain(self.named.iter().map(|named| named.path))
            .filter_map(|table| table.strip_prefix(&prefix))
            .filter_map(|rest| rest.split('.').next())
            .filter(|name| !name.is_empty());
        let settings = self.section(path).map_or(&[][..], |found| found.settings);
        tables.chain(settings.iter().map(|s| s.name)).collect()
    }
}

/// The entry that the environment's `name`, without its prefix, sets.
pub(crate) fn foreign_variable(name: &str) -> Option<&'static Foreign> {
    let spelled = |path: &str| path.replace('.', "_").to_uppercase();
    let fixed = FILE.foreign.iter().find_map(|(parent, list)| {
        let below = match *parent {
            "" => Some(name),
            parent => name.strip_prefix(&spelled(parent))?.strip_prefix('_'),
        }?;
        list.iter().find(|foreign| {
            below
                .strip_prefix(&spelled(foreign.path()))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        })
    });
    // Where the name of an entry ends cannot be told.
    let named = || {
        let named = NAMED.iter().find(|named| {
            name.strip_prefix(&spelled(named.path))
                .is_some_and(|rest| rest.starts_with('_'))
        })?;
        let whole = format!("{name}_");
        let lists = named.shape.foreign.iter().flat_map(|(_, list)| *list);
        let mut lists = lists;
        lists.find(|foreign| whole.contains(&format!("_{}_", spelled(foreign.path()))))
    };
    fixed.or_else(named)
}
