//! Elements of the flow tables, lines of members and numbers of backends that are used again while packets go
//! by on other CPUs: no packet ever goes to a backend that is not its flow's. Needs root.

#[path = "recycling/elements.rs"]
mod elements;
#[path = "recycling/lab.rs"]
mod lab;
#[path = "recycling/members.rs"]
mod members;
#[path = "recycling/numbers.rs"]
mod numbers;
#[path = "recycling/pending.rs"]
mod pending;
#[path = "recycling/slots.rs"]
mod slots;
