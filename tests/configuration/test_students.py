"""Pools of students: entries have the student's keys, share servers where they can, and are refused with a remedy."""

import pytest

from custom_data.world.texts.students import HELD_OUT_STUDENTS, STUDENTS, TRAINED_STUDENTS, system_prompt
from trainers.configuration import ConfigurationError, compose, server_layout
from trainers.configuration.cli.mappings import repeated_names
from trainers.configuration.devices.machine import Machine
from trainers.configuration.settings.students import all_members, heldout_members, members

GPUS, CPU = Machine(tuple(range(8))), Machine(())
POOL = "students={a: {model: x/y}, b: {model: x/z, weight: 2}, c: {model: x/y, system_prompt: Hurry.}}"
API = "base_url: 'http://localhost:1/v1', max_model_len: 9000"


def composed(*arguments, machine=GPUS, servers=4):
    return compose(["teacher_rcl", "student_model=m/m", *arguments], machine, servers=servers).config


def problems(*arguments):
    with pytest.raises(ConfigurationError) as refused:
        composed(*arguments)
    return {problem.given: f"{problem.expected} → {problem.remedy}" for problem in refused.value.problems}


def test_one_student_is_a_pool_of_one_with_todays_keys():
    config = composed()
    [member] = members(config)
    assert (member.name, member.pool, member.config) == ("student", None, config)
    assert heldout_members(config) == ()


def test_entries_take_the_keys_of_the_student_as_defaults():
    config = composed(POOL, "student_temperature=0.2", "students.b.temperature=0.3", "student_system_prompt=Think.")
    found = {member.name: member for member in members(config)}
    assert {name: member.config.student.temperature for name, member in found.items()} == {"a": 0.2, "b": 0.3, "c": 0.2}
    assert {name: member.weight for name, member in found.items()} == {"a": 1, "b": 2, "c": 1}
    systems = {name: member.config.prompts.student_system_prompt for name, member in found.items()}
    assert systems == {"a": "Think.", "b": "Think.", "c": "Hurry."}


def test_a_pool_is_chosen_by_name_and_changed_one_value_at_a_time():
    config = compose(["quickstart_rl", "students=world_one", "students.Pia.weight=3"], CPU, servers=1).config
    assert {member.name: member.weight for member in members(config)} == {"Pia": 3}
    assert {member.config.student.dtype for member in members(config)} == {"float32"}
    [student] = [spec for spec in server_layout(config) if spec.role == "student"]
    assert student.students == ("Pia", "Saul", "Thea", "Umar", "Wanda")


def test_a_recipe_chooses_a_pool_that_a_command_can_replace_or_leave_out():
    of_the_recipe = compose(["quickstart_rl"], CPU, servers=1).config
    assert [member.name for member in members(of_the_recipe)] == list(TRAINED_STUDENTS)
    assert [member.name for member in heldout_members(of_the_recipe)] == list(HELD_OUT_STUDENTS)
    prompts = {member.name: member.config.prompts.student_system_prompt for member in all_members(of_the_recipe)}
    assert prompts == {name: system_prompt(name) for name in STUDENTS}
    alone = compose(["quickstart_rl", "students=null", "heldout_students=null"], CPU, servers=1).config
    assert [(member.name, member.pool) for member in all_members(alone)] == [("student", None)]


@pytest.mark.parametrize(
    ("servers", "held"),
    [
        (1, ["", "a,c", "b"]),
        (3, ["", "a,c", "b"]),
        (4, ["", "a,c", "b", ""]),
        (8, ["", "a,c", "b", "", "", "a,c", "", "b"]),
    ],
)
def test_slots_go_to_each_model_first_and_then_half_to_the_students(servers, held):
    specs = server_layout(composed(POOL, servers=servers))
    assert [",".join(spec.students) for spec in specs] == held


def test_held_out_students_have_servers_beside_those_of_the_one_student():
    specs = server_layout(composed("heldout_students={new: {model: x/y}, hasty: {temperature: 0.1}}"))
    held = {spec.model: spec.students for spec in specs if spec.role == "student"}
    assert held == {"m/m": ("student", "hasty"), "x/y": ("new",)}


def test_students_whose_servers_would_differ_share_none():
    specs = server_layout(composed("students={a: {}, b: {max_model_len: 12000}}"))
    assert [spec.students for spec in specs if spec.role == "student"] == [("a",), ("b",)]


def test_api_students_and_agents_take_no_slot():
    config = composed(f"students={{a: {{}}, b: {{model: gpt, {API}}}, c: {{agent: my.agents.Solver}}}}")
    assert {spec.students for spec in server_layout(config) if spec.role == "student"} == {("a",)}
    assert [member.config.student.model for member in all_members(config)] == ["m/m", "gpt", "my.agents.Solver"]


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (["students={}"], "students={}", "one student or more"),
        (["students={a: {weight: 0}}"], "students.a.weight=0", "weight: 1"),
        (["students={a: {weight: true}}"], "students.a.weight=true", "a number > 0"),
        (["students={a: {temprature: 1}}"], "students.a.temprature=1", "did you mean temperature"),
        (["students={a: {student_model: x}}"], "students.a.student_model=x", "write model"),
        (["students={a: {api_key: x}}"], "students.a.api_key=…", "students.a.api_key_env=VARIABLE"),
        (["students={a: {max_tokens: many}}"], "students.a.max_tokens=many", "a whole number"),
        (["students={a: {system_prompt: 3}}"], "students.a.system_prompt=3", "expected text"),
        (["students={a: 3}"], "students.a=3", "the student's keys"),
        (["students={a b: {}}"], "students.a b", "letters, digits"),
        (["students={student: {}}"], "students.student", "another name"),
        (["students={a: {}, a: {}}"], "students={a: {}, a: {}}", "a stands twice"),
        (["students={a: {max_model_len: 100}}"], "students.a.max_model_len=100", "raise students.a.max_model_len"),
        (["students={a: {spending_cap: 3}}"], "students.a.spending_cap=3", "give students.a.base_url"),
        (["students={a: {agent: nodot}}"], "students.a.agent=nodot", "dotted path"),
        (
            ["students={a: {chat_template_kwargs: {tokenize: true}}}"],
            "students.a.chat_template_kwargs.tokenize=true",
            "",
        ),
        (["student_model=null", "students={a: {}}"], "students.a.model=null", "write students.a.model"),
        (["students={a: {}}", "heldout_students={h: {}}"], "heldout_students.h", "also trained on: students.a"),
        (["heldout_students={h: {}}"], "heldout_students.h", "also trained on: the student"),
        (["students={a: {}}", "heldout_students={a: {model: x}}"], "heldout_students.a", "an entry of that name"),
        (["heldout_students={h: {weight: 2}}"], "heldout_students.h.weight=2", "equally often"),
        (["students=nowhere"], "students=nowhere", "choose one of world"),
    ],
)
def test_bad_pools_are_refused_with_a_remedy(arguments, given, said):
    found = problems(*arguments)
    assert said in found[given]


def test_a_problem_that_is_not_of_a_student_is_told_once():
    assert list(problems(POOL, "student_model=null", "temperature=0")) == ["temperature=0"]


EVALUATED = ["evaluate", "teacher=x/t", "student_model=m/m", POOL, "heldout_students={h: {temperature: 0.1}}"]


@pytest.mark.parametrize(
    ("student", "names", "served"),
    [
        (None, ["a", "b", "c", "h"], ["", "a,c", "b", "h"]),
        ("student=b", ["b"], ["", "b"]),
        ("student=[h,a]", ["a", "h"], ["", "a", "h"]),
    ],
)
def test_an_evaluation_asks_all_students_or_those_it_names(student, names, served):
    config = compose([*EVALUATED, *([student] if student else [])], GPUS, servers=1).config
    assert [member.name for member in all_members(config)] == names
    assert [",".join(spec.students) for spec in server_layout(config)] == served


def test_an_evaluation_of_held_out_students_leaves_the_one_student_alone():
    config = compose(["evaluate", "student_model=m/m", "heldout_students={h: {}}"], GPUS, servers=1).config
    assert [(member.name, member.pool) for member in all_members(config)] == [("h", "heldout_students")]


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (["student=q"], "student=q", "there is no student q"),
        (["student=[a,a]"], "student=[a,a]", "name each student once"),
        (["student=[]"], "student=[]", "choose among a, b, c, h"),
        (["student=3"], "student=3", "a list"),
    ],
)
def test_students_that_an_evaluation_does_not_have_are_refused(arguments, given, said):
    with pytest.raises(ConfigurationError) as refused:
        compose([*EVALUATED, *arguments], GPUS, servers=1)
    [problem] = refused.value.problems
    assert problem.given == given
    assert said in f"{problem.expected} → {problem.remedy}"


def test_a_teacher_and_a_student_keep_their_usage_apart():
    teacher = "teacher={base_url: 'http://localhost:2/v1', model: m}"
    pool = f"students={{a: {{model: gpt, {API}}}, b: {{model: x/y}}}}"
    with pytest.raises(
        ConfigurationError, match=r"teacher student-a: its record of usage would be that of students\.a"
    ):
        compose(["evaluate", teacher, pool, "teacher_names=[student-a]"], GPUS, servers=1)
    with pytest.raises(ConfigurationError, match="1 teachers need 1 names"):
        compose(["evaluate", teacher, pool, "teacher_names=[student-a,more]"], GPUS, servers=1)
    assert compose(["evaluate", teacher, pool, "teacher_names=[student-b]"], GPUS, servers=1).config


def test_a_student_is_chosen_by_name_only_where_there_is_a_table():
    with pytest.raises(ConfigurationError, match="student=a: chooses among students by name, and there is no table"):
        compose(["evaluate", "student_model=m/m", "student=a"], GPUS, servers=1)


@pytest.mark.parametrize(
    ("text", "repeated"),
    [
        ("{a: {x: 1}, b: {x: 1}}", []),
        ("{a: 1, b: {a: 1, c: 2, c: 3}}", ["c"]),
        ("{'a': 1, a: 2, a: 3}", ["a"]),
        ("[{a: 1}, {a: 1}]", []),
        ("{a: 'b: 1, a: 2'}", []),
    ],
)
def test_names_that_stand_twice_in_a_mapping(text, repeated):
    assert repeated_names(text) == repeated
