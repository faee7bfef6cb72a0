"""What must hold, and what shows it: the table behind docs/reliability.md."""

from __future__ import annotations

from typing import NamedTuple


class Target(NamedTuple):
    """One row.

    Attributes:
        tests: pytest node ids without parameters, relative to tests/.
        bench: the measurement of bench.py that shows it.
        only: the beginning of the rows of that measurement that count; empty for all.
        soak: whether tools/soak.py shows it.
        gap: what of it nothing shows, and why.
    """

    number: int
    situation: str
    must_hold: str
    tests: tuple[str, ...] = ()
    bench: str = ""
    only: str = ""
    soak: bool = False
    gap: str = ""


TARGETS = (
    Target(
        1,
        "50 clients, 200 events/s of 1 kB, 15 s",
        "no gap, no disorder, p99 ≤ 25 ms, ≤ 0.25 core",
        bench="steady",
        only="50 clients",
    ),
    Target(
        2,
        "the same with 5 stalled clients",
        "the others as in 1; the stalled ones are cut within 30 s; at most 5 MiB more memory; "
        "Claude's terminal never waits",
        tests=(
            "test_connection.py::test_a_client_that_takes_nothing_is_reset_and_holds_up_nobody",
            "test_connection.py::test_a_slow_client_that_does_take_something_stays",
        ),
        bench="steady",
        only="5 stalled",
        gap="the terminal, which row 18 is about",
    ),
    Target(
        3,
        "100 clients killed with SIGKILL",
        "descriptors and threads back to base within 5 s",
        tests=("test_targets.py::test_a_hundred_killed_clients_leave_no_thread_and_no_descriptor",),
    ),
    Target(
        4,
        "half-open TCP: the client was stopped",
        "found by ping within 45 s, also with full buffers",
        tests=("test_connection.py::test_a_stopped_client_is_found_by_ping_also_when_its_buffers_are_full",),
    ),
    Target(
        5,
        "100 idle TCP connections and slow handshakes",
        "dropped within 10 s; others are answered within 1 s meanwhile",
        tests=(
            "test_targets.py::test_connections_that_say_nothing_keep_nobody_out",
            "test_listener.py::test_a_silent_connection_is_dropped_with_408",
            "test_listener.py::test_a_handshake_that_drips_is_dropped_at_the_same_time",
        ),
    ),
    Target(
        6,
        "garbage bytes, bad frames, bad UTF-8, bad JSON, oversized messages, hostile Origin or Host",
        "refused with the right code; the program is unaffected; no traceback; nothing reaches Claude's terminal",
        tests=(
            "test_targets.py::test_garbage_reaches_neither_claude_nor_its_terminal_nor_the_exit_code",
            "test_connection.py::test_a_broken_rule_closes_with_its_code_and_harms_nobody_else",
            "test_connection.py::test_bad_json_leaves_the_connection_open",
            "test_handshake.py::test_any_other_host_is_403",
            "test_handshake.py::test_any_other_origin_is_403",
        ),
    ),
    Target(
        7,
        "RFC 6455 conformance",
        "Autobahn cases 1–7, 9 and 10: none FAILED",
        gap="not repeated here, as the Autobahn suite runs under Python 2 only; tests/autobahn_echo.py says how",
    ),
    Target(
        8,
        "`ulimit -n 64` with 100 clients",
        "no busy loop, Claude unaffected, recovers within 2 s",
        tests=("test_targets.py::test_few_descriptors_cost_clients_but_neither_claude_nor_the_server_for_long",),
    ),
    Target(
        9,
        "the port is taken on 127.0.0.1, or only on ::1",
        "a clear message that names the holder, before Claude starts; exit code 2",
        tests=(
            "test_program.py::test_a_named_port_that_is_taken_ends_us_before_claude_starts",
            "test_program.py::test_a_port_taken_on_ipv6_only_is_taken",
        ),
    ),
    Target(
        10,
        "the disk is full where logs or recordings go",
        "the session goes on, with one warning",
        tests=(
            "test_targets.py::test_a_full_disk_for_the_log_costs_one_warning",
            "test_targets.py::test_where_nothing_can_be_written_the_session_goes_on",
            "test_recorder.py::test_a_full_disk_is_one_warning_and_the_session_goes_on",
        ),
    ),
    Target(
        11,
        "Claude exits with 3, is killed, or cannot be started",
        "status and `session.end` at every client within 1 s; claude-mpm exits with Claude's code "
        "(128+n for a signal, 127 if not found)",
        tests=(
            "test_program.py::test_session_on_a_terminal_is_seen_from_start_to_end",
            "test_program.py::test_a_missing_claude_is_127_and_names_the_demo",
            "test_program.py::test_a_claude_the_system_refuses_is_126",
            "test_between.py::test_a_signal_without_a_name_is_128_and_its_number",
        ),
        gap="that a client is told within 1 s of a kill",
    ),
    Target(
        12,
        "claude-mpm dies at any point (error, SIGTERM, SIGHUP)",
        "terminal settings as before; no orphan",
        tests=(
            "test_program.py::test_terminal_is_as_before_after_claude_ends",
            "test_program.py::test_told_to_end_it_ends_everything_and_restores_the_terminal",
            "test_between.py::test_a_killed_program_takes_claude_with_it",
        ),
        gap="a defect of claude-mpm itself",
    ),
    Target(
        13,
        "a todo file is half-written, corrupt, 100 MB, deleted, a symlink, a FIFO or a directory",
        "the last good state stays; no crash, no hang; a good file shows within 1 s",
        tests=(
            "test_todos.py::test_a_bad_file_is_logged_and_the_last_good_list_stays_until_a_good_file_comes",
            "test_todos.py::test_a_half_written_file_shows_at_once_when_it_is_whole_and_is_not_logged",
            "test_todos.py::test_no_descriptor_is_left_open_by_bad_files",
        ),
    ),
    Target(
        14,
        "30 minutes, 20 clients coming and going, 200 events/s",
        "memory rises by at most 1 MiB in 10 minutes and ends at 64 MiB or less; descriptors and threads stay flat",
        soak=True,
    ),
    Target(
        15,
        "SIGINT, SIGTERM or SIGHUP to claude-mpm",
        "INT reaches Claude as typed; TERM and HUP: clients see `session.end` and close 1001 within 2 s, "
        "gone within 5 s",
        tests=(
            "test_program.py::test_sigint_to_us_reaches_claude_as_typed",
            "test_program.py::test_told_to_end_it_ends_everything_and_restores_the_terminal",
            "test_program.py::test_a_terminal_that_goes_leaves_claude_the_time_to_end_well",
        ),
    ),
    Target(
        16,
        "the clock is moved by an hour",
        "timeouts, pings and `seq` unaffected",
        tests=("test_connection.py::test_a_clock_that_jumps_disturbs_neither_pings_nor_numbers",),
    ),
    Target(
        17,
        "no inotify left",
        "polling, one log line, `todo.update` within 1.5 s",
        tests=(
            "test_targets.py::test_without_inotify_todos_are_seen_all_the_same",
            "test_watcher.py::test_the_kernel_s_own_limits_lead_to_polling",
        ),
    ),
    Target(
        18,
        "50 readers, 5 stalled clients, 4 connecting without pause or a flood of `get_history`, "
        "while the user types and 200 lines/s pass",
        "keystroke round trip: p99 within 2 ms and maximum within 10 ms of the same without claude-mpm",
        bench="keystroke",
    ),
    Target(
        19,
        "32 MiB shown by Claude, with 0 and with 10 clients",
        "at most 1.15 × `script`, at most 0.6 × `asciinema rec`",
        bench="terminal",
    ),
    Target(
        20,
        "the monitor is killed, stopped, or out of memory",
        "Claude, its terminal and its exit code untouched; one line after the end",
        tests=("test_two_processes.py::test_a_monitor_that_dies_or_stops_costs_one_line_after_the_end",),
        gap="a monitor out of memory, which the kernel kills as the test does",
    ),
    Target(
        21,
        "the front is killed",
        "`session.end` at every client within 1 s; no orphan",
        tests=(
            "test_two_processes.py::test_a_front_that_is_killed_is_told_and_leaves_no_orphan",
            "test_between.py::test_a_killed_program_takes_claude_with_it",
        ),
    ),
    Target(
        22,
        "10,000 usage events with 100 agents; 300 tasks of 600 B changed 300 times; 3,000 writes of 60 kB; "
        "a 300 MB transcript resumed",
        "monitor at 96 MiB or less",
        tests=(
            "test_tracker_bounds.py::test_a_usage_event_does_not_grow_with_the_number_of_agents",
            "test_tracker_bounds.py::test_ended_calls_do_not_keep_their_inputs",
            "test_tracker_bounds.py::test_a_list_built_of_huge_tasks_is_cut_too",
            "test_claude_sources.py::test_a_long_history_is_not_held_in_memory",
        ),
        gap="the memory of the whole monitor; the tests bound what each part holds",
    ),
    Target(
        23,
        "a foreign server on 8765, and `monitor.html` opened from disk with `#token=`",
        "it goes to the right instance or says that none was found; the token reaches nobody else",
        tests=(
            "test_page.py::test_a_page_from_disk_finds_the_server_and_goes_there_with_its_token",
            "test_page.py::test_the_token_reaches_nobody_but_the_instance_that_knows_it",
            "test_page.py::test_with_only_a_foreign_server_none_is_found",
        ),
    ),
    Target(
        24,
        "a loopback client of another user, no token set (Linux)",
        "403",
        tests=(
            "test_peer_user.py::test_another_user_is_refused_and_an_unknown_one_admitted_with_one_line",
            "test_peer_user.py::test_another_users_process_is_refused",
            "test_peer_user.py::test_with_a_token_the_token_decides",
        ),
    ),
    Target(
        25,
        "numbers like `1e999`, a record with an unexpected value, a queue that is full",
        "that value is null, that line is skipped, the loss is told; everything else arrives",
        tests=(
            "test_json_text.py::test_a_number_that_is_not_finite_is_read_as_null",
            "test_json_text.py::test_an_event_with_an_infinite_number_is_json_in_the_log",
            "test_claude_sources.py::test_a_transcript_line_that_cannot_be_read_costs_that_line_only",
            "test_claude_sources.py::test_stdout_lines_beyond_the_bound_are_counted_and_told_once",
        ),
    ),
    Target(
        26,
        "a Claude too old for `--settings` or `--session-id` (1.0.60)",
        "starts without them and is watched by what remains; `doctor` says so",
        tests=("test_command.py::test_an_option_that_a_known_version_lacks_is_left_out",),
        gap="what `doctor` says of that version",
    ),
    Target(
        27,
        "a Redis is killed and started again under load, with and without persistence",
        "every event that the session's memory still held comes once, in order; what did not is a told gap",
        tests=(
            "test_fleet.py::test_a_redis_that_is_killed_under_load_loses_nothing_that_is_not_told",
            "test_redis_source.py::test_a_redis_that_is_killed_and_comes_back_loses_nothing_that_memory_holds",
            "test_redis_source.py::test_a_trimmed_stream_is_a_told_gap_and_then_the_status",
        ),
    ),
    Target(
        28,
        "a hub is restarted",
        "clients resume or are told to begin anew; no event twice, none missing",
        tests=(
            "test_fleet.py::test_a_client_outlives_the_restart_of_a_hub_without_hole_or_duplicate",
            "test_hub.py::test_a_reconnected_client_resumes_with_one_number",
        ),
    ),
    Target(
        29,
        "200 and 2,000 sessions with 5 events/s each, through one Redis and one hub on two cores",
        "nothing lost, p99 ≤ 250 ms",
        bench="fleet",
    ),
    Target(
        30,
        "an event of a session on another machine, over ssh",
        "at a client of the hub at most 50 ms after the session's own clients have it",
        bench="ssh",
    ),
    Target(
        31,
        "`claude-mpm status` beside 20 sessions",
        "answers within 60 ms",
        bench="status",
    ),
    Target(
        32,
        "one session here, one over ssh, one through Redis; a client of a hub answers a question of each",
        "the answer is Claude's; only with the hub's token and control; a hub that only shows lets nothing wait",
        tests=(
            "test_fleet.py::test_a_question_is_answered_through_the_hub",
            "test_fleet.py::test_a_hub_without_control_only_shows",
            "test_fleet_page.py::test_three_machines_are_on_one_page",
        ),
    ),
)
