//! Owns the parts of the daemon that run beside each other, and which of them ended first: a
//! daemon of which a part has died must not look alive.

use std::{collections::HashMap, fmt};

use tokio::task::{Id, JoinError, JoinSet};

/// Tasks by name, none of which should end.
#[derive(Default)]
pub(super) struct Parts {
    tasks: JoinSet<anyhow::Result<()>>,
    names: HashMap<Id, &'static str>,
}

impl Parts {
    /// Starts a part.
    pub(super) fn spawn(
        &mut self,
        name: &'static str,
        part: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let id = self.tasks.spawn(part).id();
        self.names.insert(id, name);
    }

    /// Waits for the first part that ends, and says which and how. Pending where there is none.
    pub(super) async fn first_end(&mut self) -> String {
        match self.tasks.join_next_with_id().await {
            None => std::future::pending().await,
            Some(Ok((id, outcome))) => ended(self.name(id), Ok(outcome)),
            Some(Err(error)) => ended(self.name(error.id()), Err::<anyhow::Result<()>, _>(error)),
        }
    }

    /// Stops all.
    pub(super) async fn shutdown(&mut self) {
        self.tasks.shutdown().await;
    }

    fn name(&self, id: Id) -> &'static str {
        self.names.get(&id).copied().unwrap_or("a part")
    }
}

/// How a part ended, in words.
pub(super) fn ended<E: fmt::Display>(
    name: &str,
    outcome: Result<Result<(), E>, JoinError>,
) -> String {
    match outcome {
        Ok(Ok(())) => format!("{name} ended"),
        Ok(Err(error)) => format!("{name} failed: {error:#}"),
        Err(error) => format!("{name} died: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_part_that_ends_is_named_and_says_why() {
        for (says, wanted) in [
            (None, "the loop ended"),
            (Some("no route"), "the loop failed: no route"),
        ] {
            let mut parts = Parts::default();
            parts.spawn("a patient one", std::future::pending());
            parts.spawn("the loop", async move {
                says.map_or(Ok(()), |says| Err(anyhow::anyhow!(says)))
            });
            assert_eq!(parts.first_end().await, wanted);
        }
        let mut parts = Parts::default();
        parts.spawn("the loop", async { panic!("out of luck") });
        let told = parts.first_end().await;
        assert!(
            told.starts_with("the loop died: ") && told.contains("out of luck"),
            "{told}"
        );
    }
}
