//! Prints the names of the spec rows, one a line; `cargo xtask spec` runs them.

use clap::Parser;

#[derive(Parser)]
#[command(name = "splitter-spec")]
struct Arguments {
    /// Print the names of all rows, one a line.
    #[arg(long)]
    list: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let rows = splitter_tests::spec::rows()?;
    if arguments.list {
        for row in rows {
            println!("{}", row.name);
        }
    } else {
        println!(
            "{} rows; --list prints their names, `cargo xtask spec` runs them",
            rows.len()
        );
    }
    Ok(())
}
