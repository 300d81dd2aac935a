//! Options of a namespace that backends replace for one subscription, as it stands in JSON:
//! `override` of the server API (section 2.3) and of proxies (section 6).

use campanile_engine::authority::Overrides;
use serde::Deserialize;

/// `override`; `{"presence": {"value": true}}` and so on.
#[derive(Deserialize)]
pub(crate) struct OverrideFields {
    presence: Option<Override>,
    join_leave: Option<Override>,
    force_recovery: Option<Override>,
    force_positioning: Option<Override>,
    force_push_join_leave: Option<Override>,
}

#[derive(Deserialize)]
struct Override {
    value: Option<bool>,
}

impl OverrideFields {
    /// An override that is there without a value is `false`.
    pub(crate) fn overrides(&self) -> Overrides {
        let value = |field: &Option<Override>| {
            let field = field.as_ref();
            field.map(|field| field.value.unwrap_or_default())
        };
        Overrides {
            presence: value(&self.presence),
            join_leave: value(&self.join_leave),
            force_push_join_leave: value(&self.force_push_join_leave),
            force_positioning: value(&self.force_positioning),
            force_recovery: value(&self.force_recovery),
        }
    }
}
