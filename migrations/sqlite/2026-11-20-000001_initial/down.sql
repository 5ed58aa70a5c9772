-- Everything goes: this is the first migration.
DROP TABLE messages;
DROP TABLE conversations;
DROP TABLE comments;
DROP TABLE follows;
DROP TABLE favorites;
DROP TABLE videos;
DROP TABLE users;
DROP TABLE clocks;
DROP TABLE id_blocks;
DROP TABLE store;
