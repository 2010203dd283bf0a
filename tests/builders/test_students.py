"""A run's students from its configuration to lessons: each with its own model, words, sampling and limits."""

from tests.support.fakes import ScriptedModel
from trainers.builders.contexts import question_needs
from trainers.builders.protocol import build_lessons
from trainers.builders.student_and_teacher import connect_students
from trainers.configuration import compose
from trainers.configuration.devices.machine import Machine
from trainers.configuration.settings.students import all_members
from trainers.generation.vllm.endpoint_pool import EndpointPool
from trainers.grpo.lesson_batches import LessonBatchMaker
from trainers.grpo.rollouts import RolloutRunner
from trainers.launch.checks.inspection import inspect
from trainers.teaching.lesson import Question

AGENTS = "students={own: {agent: tests.support.agents.solve, weight: 3}, lost: {agent: tests.support.agents.fail}}"
HELD_OUT = "heldout_students={new: {agent: tests.support.agents.solve, max_tokens: 5, system_prompt: Be quick.}}"


class ServedTeacher(ScriptedModel):
    """A teacher with connections to close."""

    async def aclose(self):
        self.calls.clear()


def configured(*arguments):
    command = ["quickstart_rl", "students=null", "heldout_students=null", "verifier=exact", *arguments]
    return compose(command, Machine(()), servers=1).config


def served(student, teacher, data, *arguments):
    models = (f"student_model={student}", f"model_name_or_path={teacher}", f"dataset_id_or_path={data}")
    return configured(*models, "eval_dataset_id_or_path=null", *arguments)


def questions(path):
    path.write_text("".join(
        f'{{"question": "{n} + 1?", "solution": "{n + 1}"}}\n' for n in range(2, 40)
    ), encoding="utf-8")  # fmt: skip
    return path


def test_a_pool_teaches_through_its_own_students_and_evaluates_held_out_ones(tmp_path, caplog):
    config = configured(AGENTS, HELD_OUT, f"output_dir={tmp_path}")
    clients = connect_students(config, all_members(config))
    protocol, evaluated = build_lessons(config, clients)
    assert evaluated is not None
    assert (evaluated.name, evaluated.stages.student.max_tokens) == ("new", 5)
    assert evaluated.templates.student_system_prompt == "Be quick."
    teacher = ServedTeacher(lambda text, index: f"<thinking>t</thinking><teaching>Add {index}.</teaching>")
    runner = RolloutRunner(protocol, teacher, list(clients.values()), len, evaluated=evaluated)
    asked = [Question(row, f"{row} + 1?", "1") for row in range(8)]
    try:
        rollout = runner.run(asked, step=0, num_generations=4, num_baselines=1)
        evaluation = runner.evaluate(asked[:2], num_generations=2)
    finally:
        runner.close()
    assert {group.prepared.student for group in evaluation.groups} == {"new"}
    assert evaluation.students == ()
    batch = LessonBatchMaker(str(tmp_path), 0, 0.0, 1, 0)(0, rollout)
    assert [batch.metrics[f"teaching/by_student/{name}/groups"] for name in ("own", "lost")] == [6, 2]
    assert batch.lost == ["baseline_function"] * 2
    assert caplog.text.count("all groups of student lost are lost") == 1


def test_students_that_the_same_servers_answer_alike_share_a_connection(tiny_student_dir, tiny_teacher_dir, tmp_path):
    pool = "students={a: {}, b: {temperature: 0.1}, c: {chat_template_kwargs: {enable_thinking: true}}}"
    config = served(tiny_student_dir, tiny_teacher_dir, questions(tmp_path / "rows.jsonl"), pool)
    clients = connect_students(config, all_members(config))
    assert all(isinstance(client, EndpointPool) for client in clients.values())
    assert clients["a"] is clients["b"] is not clients["c"]
    assert clients["a"].endpoints[0].base_url == clients["c"].endpoints[0].base_url


def test_preflight_looks_at_every_student(tiny_student_dir, tiny_teacher_dir, tmp_path):
    pool = f"students={{a: {{}}, gone: {{model: {tmp_path}/nothing}}}}"
    config = served(tiny_student_dir, tiny_teacher_dir, questions(tmp_path / "rows.jsonl"), pool)
    assert [problem.given for problem in inspect(config).problems] == [f"students.gone.model={tmp_path}/nothing"]


def test_questions_must_fit_with_the_system_prompt_of_each_student(tiny_student_dir, tiny_teacher_dir, tmp_path):
    pool = f"students={{a: {{}}, wordy: {{system_prompt: '{'very long ' * 200}'}}}}"
    config = served(tiny_student_dir, tiny_teacher_dir, questions(tmp_path / "rows.jsonl"), pool)
    open_stages = [need.stage for need in question_needs(config) if not need.fits("1 + 1?")]
    assert open_stages == ["baseline of wordy", "probe of wordy", "taught of wordy"]
    assert inspect(config).problems
