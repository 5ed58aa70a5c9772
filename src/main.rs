fn main() {
    // Before anything else of the program is set up: this process is a cage for decoders (see `media::cover_child`).
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == ovation::media::cover_child::COMMAND)
    {
        std::process::exit(ovation::media::cover_child::run(std::env::args_os().skip(2)));
    }
}
