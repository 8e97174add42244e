module bench.test/track.git

go 1.21
