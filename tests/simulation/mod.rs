//! Crewlog in a world that fails: the real `decide`, `apply` and `plan`, the real scheduler and
//! worker machines, on virtual time, in one thread, all of it from one seed.
//!
//! | file | what it knows |
//! |---|---|
//! | `scenario` | what a seed means: backlog, rules, crew, and what goes wrong when |
//! | `world` | time, disk, connections, processes, people: what the machines ask for, and faults |
//! | `agent`, `person`, `git` | what agents come to, what people think of, what is true |
//! | `sight`, `book`, `checks` | observers who know only what can be seen, one promise in each file |
//! | `play`, `shrink` | a history from a seed, and the smallest one that fails as it does |
//! | `seeds`, `planted` | the tests, and the test of the tests |

mod agent;
mod book;
mod checks;
mod dice;
mod git;
mod person;
mod planted;
mod play;
mod scenario;
mod seeds;
mod shrink;
mod sight;
mod world;
