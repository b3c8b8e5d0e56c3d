# What is typed often. `just` lists it.

_default:
    @just --list

# Everything that has to hold before a change lands.
ci:
    bash .ci/run

# The shipped example, from its backlog to merged commits.
demo *ARGS:
    cargo run --release -- demo {{ARGS}}

# One test, with its output: just test repeated_report
test NAME='':
    cargo test {{NAME}} -- --nocapture

# Power cuts and failing disks, from fresh seeds: just power-loss --minutes 10
power-loss FLAG='--minutes' MINUTES='5':
    CREWLOG_POWER_LOSS_SECONDS=$(( {{ MINUTES }} * 60 )) cargo test --test power_loss --test storage_damage -- --nocapture

# The simulation with fresh seeds, for as long as wanted: just simulate --minutes 10
simulate *ARGS:
    SIMULATION_ARGS="{{ARGS}}" cargo test --release --lib -- --ignored --exact simulation::seeds::fresh --nocapture

# The figures of the README, on this machine and its disk.
bench:
    cargo bench --bench rank
    cargo bench --bench core
    cargo bench --bench socket
    cargo bench --bench log

# Crewlog next to Redis, PostgreSQL, SQLite and beanstalkd, as a table: just peers, just peers 1 8 redis
peers *ARGS:
    cargo run --release --locked --manifest-path benches/peers/Cargo.toml --target-dir target -- {{ARGS}}

# Licences, duplicates and sources of the dependencies.
deny:
    cargo deny check
    cargo deny --manifest-path benches/peers/Cargo.toml --config deny.toml check

# Fuzz one target on the nightly toolchain: just fuzz backlog --minutes 10; or run one file.
fuzz TARGET *ARGS:
    bash fuzz/run {{TARGET}} {{ARGS}}

# A thousand workers and two hundred thousand jobs: memory and open files stay flat.
soak:
    CREWLOG_SOAK_WORKERS=1000 CREWLOG_SOAK_JOBS=200000 cargo test --release --test soak -- --nocapture
