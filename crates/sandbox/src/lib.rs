//! A pretend AWS and a pretend Amazon Redshift on loopback, for the demo, the tests and users' own CI.
//! It is the independent oracle: of our crates it knows only `shiftkey-wire`, so a client's misunderstanding cannot be shared.
//!
//! ```
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! use shiftkey_sandbox::{Sandbox, engine::Engine};
//!
//! let sandbox = Sandbox::builder().engine(Engine::Embedded).fault("GetClusterCredentials:503@1".parse()?).start().await?;
//! let environment = sandbox.environment_for("etl").expect("etl is a caller"); // for the client under test
//! sandbox.clock().set_offset("-20m".parse()?);
//! sandbox.faults().add("DescribeClusters:hang".parse()?);
//! let warehouse = sandbox.world().warehouses()[0].id.clone();
//! sandbox.move_endpoint(&warehouse).await?;
//! sandbox.world().revoke_grants(&warehouse);
//! assert_eq!(sandbox.calls().count("GetClusterCredentials"), 0);
//! sandbox.stop().await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod aws;
pub mod calls;
mod catalog;
pub mod clock;
mod control;
pub mod engine;
pub mod faults;
pub mod gate;
mod http;
pub mod iam;
pub mod pki;
mod sandbox;
pub mod seed;
pub mod world;

pub use aws::RateLimit;
pub use sandbox::{Builder, Sandbox};
