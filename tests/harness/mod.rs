//! What the stories stand on: a world to start, personas that act in it, and one strict reading of every answer.

pub mod answer;
pub mod clip;
pub mod crowd;
pub mod folders;
pub mod frames;
pub mod mariadb;
pub mod persona;
pub mod process;
pub mod raw;
pub mod shapes;
pub mod site;
pub mod socket;
pub mod together;
pub mod world;

pub use answer::Reply;
pub use persona::Persona;
pub use shapes::{Comment, User, Video};
pub use site::{ENDPOINTS, Params, Site, TokenRule};
pub use socket::Socket;
pub use together::{at_once, eventually};
pub use world::{Kind, World};

/// Runs each named story (a function of [`Kind`]) once on every store, as `sqlite::name` and `mariadb::name`.
///
/// A list beside the functions instead of an attribute on each: no macro crate, rustfmt still formats the stories, and
/// a story that was not listed is an unused function, which clippy reports.
macro_rules! on_both_stores {
    ($($story:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test]
            fn $story() {
                super::$story(crate::harness::Kind::Sqlite);
            })+
        }
        mod mariadb {
            $(#[test]
            fn $story() {
                super::$story(crate::harness::Kind::Mariadb);
            })+
        }
    };
}
pub(crate) use on_both_stores;
