fn main() {
    sky_island::island::run_launcher();
}
