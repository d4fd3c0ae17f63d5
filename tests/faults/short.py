"""The short form of each row of the campaign: tests of the default suite that show the same mechanism on its own."""

from __future__ import annotations

_ENDED = "faults/test_short.py::test_study_that_is_ended_at_random_epochs_comes_to_the_same_end"
_STEP = "faults/test_short.py::test_study_that_is_ended_at_any_step_comes_to_the_same_end"
_STOPPED = "faults/test_short.py::test_study_that_stops_trials_early_comes_to_the_same_end"
_KILLED = "search/test_searcher.py::test_sigkill_at_any_moment_costs_no_trial_and_repeats_none"
_OUTCOME = "search/test_searcher.py::test_driver_killed_while_it_tells_tells_again"
_WEIGHTS = "driver/test_finish.py::test_lost_weights_matter_where_something_is_still_to_be_scored_or_packaged"
_SERVER = "tracking/test_tracker.py::test_a_server_that_comes_late_and_goes_away_costs_nothing_and_gets_everything_once"
_LOST = "search/test_searcher.py::test_lost_workers_with_progress_in_between_are_forgotten"
_PATIENCE = "search/test_background.py::test_pauses_double_up_to_five_seconds_until_patience_is_at_its_end"
_CLOCK = "faults/test_short.py::test_clock_that_is_set_in_between_changes_nothing"
_CLOCKS_OF_OWNERS = (
    "search/test_holding.py::test_owner_elsewhere_without_heartbeat_is_followed_after_a_while_whatever_the_clocks_say"
)

SHORT: dict[str, tuple[str, ...]] = {
    "worker killed": (
        "execution/test_trainable.py::"
        "test_killed_trial_goes_on_bit_for_bit_in_another_actor_and_reports_what_was_before",
        "search/test_searcher.py::test_a_worker_lost_before_the_first_report_is_not_the_trials_fault",
        _LOST,
    ),
    "worker killed in finals": ("faults/test_short.py::test_workers_that_are_lost_cost_nothing",),
    "(raylet|whole Ray) killed": ("execution/test_cluster.py::test_death_of_ray_is_noticed_in_tunes_loop", _ENDED),
    "all workers and agents of Ray killed": (
        "tracking/test_sender.py::test_process_that_ends_without_a_word_is_told_of_in_its_terminal",
        _KILLED,
    ),
    "driver killed, .*": (_STEP, _KILLED),
    "workers without memory for 8 s": (
        "execution/test_trainable.py::test_out_of_memory_goes_on_from_the_newest_checkpoint_after_growing_pauses",
        _LOST,
    ),
    "workers ended by Ray for lack of memory": (
        "execution/test_lost_workers.py::test_worker_that_ray_has_ended_for_its_memory",
        "search/test_searcher.py::test_executor_that_loses_a_trial_for_ever_stops_the_study",
    ),
    "sender killed": (
        "tracking/test_sender.py::test_process_that_died_before_the_end_is_started_once_more_to_finish",
        "tracking/test_delivery.py::test_a_death_at_any_call_leaves_no_gap_and_no_duplicate",
    ),
    "sender killed five times": (
        "tracking/test_sender.py::test_process_that_dies_is_started_again_however_often_it_does",
    ),
    "SIG[A-Z]+": ("console/test_interruption.py::test_each_signal_unwinds_and_has_its_own_status", _STEP, _ENDED),
    "SIG[A-Z]+ twice": ("console/test_interruption.py::test_second_signal_ends_at_once", _KILLED, _STEP),
    "SIG[A-Z]+ of the process group": (
        "execution/test_cluster.py::test_rays_processes_are_in_process_groups_of_their_own",
        "console/test_interruption.py::test_same_signal_twice_within_a_second_is_one",
    ),
    "reader of the output gone": ("console/test_output.py::test_reader_that_goes_ends_nothing",),
    "ASCII terminal": ("console/test_output.py::test_ascii_terminal_gets_plain_characters",),
    "MLflow down .*": (_SERVER,),
    "MLflow down (at the start, )?for ever": (
        "tracking/test_tracker.py::test_close_returns_in_time_when_nobody_ever_answers",
        "driver/test_finish.py::test_server_that_does_not_answer_costs_only_the_registration",
    ),
    "MLflow hangs .*": ("tracking/test_environment.py::test_requests_end_in_seconds_and_mlflow_reports_nothing",),
    "MLflow slow.*": ("tracking/test_models.py::test_first_request_is_given_up_soon_and_later_ones_have_a_minute",),
    "MLflow answers 5xx.*": (
        "tracking/test_delivery.py::test_an_outage_is_never_taken_for_a_bad_run",
        "tracking/test_sender.py::test_an_answer_makes_the_next_wait_a_short_one_again",
    ),
    "MLflow's answers lost.*": ("tracking/test_delivery.py::test_a_death_at_any_call_leaves_no_gap_and_no_duplicate",),
    "Optuna locked for (5|30) s": (
        "search/test_background.py::test_a_storage_that_fails_now_and_then_loses_nothing",
        "search/test_storage.py::test_locked_storage_is_told_from_a_damaged_one",
    ),
    "Optuna locked for 200 s": (
        "search/test_background.py::test_a_storage_that_stays_away_ends_the_study_in_one_line",
        _PATIENCE,
        _ENDED,
    ),
    "Optuna locked for 30 s, driver killed": (
        "search/test_searcher.py::test_driver_killed_before_optuna_has_the_outcome_tells_nobody",
        "search/test_ledger.py::test_driver_killed_at_any_write_of_an_outcome_leaves_the_trial_to_be_ended_or_to_go_on",
    ),
    "Optuna read-only .*": (
        "search/test_storage.py::test_locked_storage_is_told_from_a_damaged_one",
        "search/test_background.py::test_failures_of_the_storage_are_repeated",
    ),
    "Optuna read-only for good": (
        "search/test_background.py::test_a_storage_that_stays_away_ends_the_study_in_one_line",
        _PATIENCE,
    ),
    "Optuna mounted read-only at a start": (
        "search/test_storage.py::test_a_storage_that_cannot_be_opened_is_said_in_one_line",
        "search/test_storage.py::test_locked_storage_is_told_from_a_damaged_one",
    ),
    "Optuna corrupt": ("search/test_storage.py::test_file_that_is_no_database_is_refused_in_one_line",),
    "disk full under checkpoints": (
        "execution/test_trainable.py::test_place_that_is_full_for_a_while_costs_a_checkpoint_and_is_told",
        "execution/test_trainable.py::test_last_checkpoint_is_tried_again_until_the_place_takes_it",
        "search/test_searcher.py::test_trial_whose_checkpoints_fail_stops_the_study_and_stays_unfinished",
    ),
    "disk full under outbox": (
        "tracking/test_buffer.py::test_tracker_whose_disk_is_full_raises_nothing_and_tells_all_later",
    ),
    "disk full under optuna": ("search/test_background.py::test_failures_of_the_storage_are_repeated",),
    "disk full under mlflow": ("tracking/test_delivery.py::test_an_outage_is_never_taken_for_a_bad_run",),
    "checkpoints (damaged|truncated|missing), unfinished": (
        "execution/test_trainable.py::test_damaged_checkpoint_is_passed_over_for_the_one_before",
        "execution/test_checkpoint.py::test_damaged_one_is_skipped_for_the_one_before",
    ),
    "checkpoints foreign, unfinished": (
        "execution/test_trainable.py::test_checkpoint_of_another_trial_in_its_folder_is_not_taken",
    ),
    "checkpoints (damaged|truncated|missing), finished": (
        _WEIGHTS,
        "driver/test_finish.py::test_published_settings_without_their_weights_have_no_row_and_a_note",
    ),
    "checkpoints foreign, finished": ("driver/test_finish.py::test_checkpoint_of_another_trial_counts_as_lost",),
    "result (damaged|truncated|emptied|missing)": (
        "driver/test_finish.py::test_result_that_cannot_be_read_is_scored_again",
        "disk/test_files.py::test_json_that_cannot_be_read_is_absent",
    ),
    "result foreign": ("driver/test_finish.py::test_another_champion_after_an_extension_is_scored_anew",),
    "model deleted": ("driver/test_packaged_champion.py::test_model_that_is_gone_is_packaged_again",),
    "model of another study": (
        "driver/test_packaged_champion.py::test_whole_model_of_another_study_or_trial_is_replaced",
    ),
    "model (damaged|truncated|missing|with foreign weights)": (
        "driver/test_packaged_champion.py::test_model_that_is_damaged_is_packaged_again",
    ),
    "separator: nan": ("execution/test_trainable.py::test_nan_loss_ends_as_diverged_and_touches_no_weight",),
    "separator: inf": ("execution/test_trainable.py::test_metric_that_is_not_finite_ends_as_diverged",),
    "separator: raise": (
        "execution/test_trainable.py::test_code_that_raises_in_the_loss_ends_as_an_error_with_its_traceback",
    ),
    "separator: (exit|segfault|hang)": ("search/test_searcher.py::test_every_row_reaches_the_storage",),
    "separator: (exit|segfault) once": (_LOST, "faults/test_short.py::test_workers_that_are_lost_cost_nothing"),
    "separator: memory": ("execution/test_trainable.py::test_out_of_memory_is_given_up_after_the_retries",),
    "separator: memory once": (
        "execution/test_trainable.py::test_out_of_memory_goes_on_from_the_newest_checkpoint_after_growing_pauses",
    ),
    "separator: hang( once)?": (
        "execution/test_hanging.py::test_worker_ends_itself_even_where_the_interpreter_is_held",
        "execution/test_trainable.py::test_each_epoch_has_its_limit",
    ),
    "clock .*": (_CLOCK, _CLOCKS_OF_OWNERS),
    "second driver": ("driver/test_ownership.py::test_second_driver_writes_nothing",),
    "second driver, .*": (
        "driver/test_ownership.py::test_second_driver_writes_nothing",
        "search/test_lease.py::test_first_owner_holds_until_it_gives_the_study_free",
    ),
    "second driver, gRPC proxy": ("search/test_grpc_proxy.py::test_one_driver_owns_a_study_over_a_proxy",),
    "second driver from another folder( and host)?": (
        "driver/test_ownership.py::test_second_driver_writes_nothing",
        "driver/test_continuing.py::test_start_in_another_folder_is_refused_saying_where_the_checkpoints_are",
    ),
    "second driver from another (folder and )?host": (
        "search/test_holding.py::test_owner_elsewhere_whose_heart_beats_is_waited_for_no_longer_than_a_beat",
    ),
    "two drivers at once.*": (
        "search/test_lease.py::test_of_processes_that_start_at_once_exactly_one_wins",
        "search/test_lease.py::test_driver_that_was_slow_gives_way_to_a_greater_generation",
    ),
    "two studies at once in a fresh folder": (
        "search/test_storage.py::test_studies_that_start_at_once_in_an_empty_folder_make_the_tables_together",
        "tracking/test_connection.py::"
        "test_two_that_start_at_once_share_one_database_and_a_half_made_one_is_no_obstacle",
        "driver/test_finish.py::test_study_that_registers_the_same_model_at_the_same_moment_is_compared_with",
    ),
    "taken over from a .*": (
        "driver/test_ownership.py::test_driver_from_which_the_study_was_taken_stops_and_writes_nothing",
        "search/test_lost_lease.py::test_owner_that_comes_back_after_its_follower_has_ended_has_lost_too",
    ),
    "taken over at another host": (
        "search/test_lease.py::test_take_over_ends_an_owner_that_is_alive",
        "search/test_lease.py::test_take_over_waits_for_writes_under_way_of_an_owner_that_may_be_alive",
        "driver/test_ownership.py::test_driver_from_which_the_study_was_taken_stops_and_writes_nothing",
    ),
    "taken over in another folder": (
        "driver/test_ownership.py::test_taking_over_from_another_folder_leaves_the_driver_alone",
        "driver/test_continuing.py::test_without_them_it_goes_on_where_that_is_allowed_and_coming_back_asks_mlflow_anew",
    ),
    "driver killed, goes on at another host": (
        "driver/test_ownership.py::test_dead_driver_of_another_host_is_followed_when_its_heartbeat_has_ended",
    ),
    "folder (moved|copied)": (
        "driver/test_continuing.py::test_moved_or_copied_folder_is_the_same",
        "tracking/test_relocation.py::test_models_are_found_where_they_are_now_without_asking_mlflow",
        "tracking/test_relocation.py::test_what_goes_on_there_is_written_there",
    ),
    "goes on in another folder": (
        "driver/test_continuing.py::test_start_in_another_folder_is_refused_saying_where_the_checkpoints_are",
        "driver/test_continuing.py::test_without_them_it_goes_on_where_that_is_allowed_and_coming_back_asks_mlflow_anew",
    ),
    "code changed": ("driver/test_continuing.py::test_changed_file_is_named_and_refused_until_it_is_allowed",),
    "trials stopped early: .*": (
        _STOPPED,
        _OUTCOME,
        "search/test_in_order.py::test_killed_study_ends_with_the_trials_of_one_that_was_not",
    ),
}
"""Pattern of names of rows -> tests, ``file::function`` below ``tests``. All patterns that match a row count."""
