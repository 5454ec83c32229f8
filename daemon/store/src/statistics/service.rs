//! What the containers of a service measured, by minutes: each counts by its mean, and all are added up.

use kontena_core::id::Id;
use mongodb::bson::{Document, doc};

use super::{LINK, LINKS, Link, Minute, Statistics, number};
use crate::command::Failure;
use crate::document::{Read, date, oid};

impl Statistics {
    pub(super) async fn minutes_of_service(
        &self,
        service: Id,
        from: i64,
        to: i64,
    ) -> Result<Vec<Minute>, Failure> {
        let matched =
            doc! { "grid_service_id": oid(service), "created_at": { "$gte": date(from), "$lte": date(to) } };
        let mut of_container = doc! {
            "_id": {
                "at": { "$dateTrunc": { "date": "$created_at", "unit": "minute" } }, "container": "$container_id",
            },
            "cpu": { "$avg": "$cpu.usage_pct" },
            "mask": { "$last": "$spec.cpu.mask" },
            "memory_used": { "$avg": "$memory.usage" },
            "memory_total": { "$avg": "$spec.memory.limit" },
        };
        let mut together = doc! {
            "_id": "$_id.at", "cpu": { "$sum": "$cpu" }, "masks": { "$push": "$mask" },
            "memory_used": { "$sum": "$memory_used" }, "memory_total": { "$sum": "$memory_total" },
        };
        for link in LINKS {
            for kind in LINK {
                let name = format!("{link}_{kind}");
                of_container.insert(name.clone(), doc! { "$avg": format!("$network.{link}.{kind}") });
                together.insert(name.clone(), doc! { "$sum": format!("${name}") });
            }
            let name = format!("{link}_interfaces");
            of_container.insert(name.clone(), doc! { "$first": format!("$network.{link}.interfaces") });
            together.insert(name.clone(), doc! { "$first": format!("${name}") });
        }
        let pipeline = vec![
            doc! { "$match": matched },
            doc! { "$group": of_container },
            doc! { "$group": together },
            doc! { "$sort": { "_id": 1 } },
        ];
        Ok(self.measures.aggregate(pipeline).await?.iter().map(minute).collect())
    }
}

fn minute(row: &Document) -> Minute {
    let value = |key: &str| number(row, key).unwrap_or_default();
    let link = |link: &str| Link {
        interfaces: row.texts(&format!("{link}_interfaces")),
        bytes: LINK.map(|kind| value(&format!("{link}_{kind}"))),
    };
    let [internal, external] = LINKS.map(link);
    Minute {
        at: row.time("_id").unwrap_or_default(),
        cpu_used: value("cpu"),
        cores: row.texts("masks").iter().filter_map(|mask| cores(mask)).fold(0.0, f64::max),
        memory: [value("memory_used"), value("memory_total"), 0.0, 0.0, 0.0, 0.0, 0.0],
        internal,
        external,
        ..Minute::default()
    }
}

/// How many cores a mask such as `0-3` allows.
fn cores(mask: &str) -> Option<f64> {
    let last: u32 = mask.rsplit('-').next()?.trim().parse().ok()?;
    Some(f64::from(last) + 1.0)
}
