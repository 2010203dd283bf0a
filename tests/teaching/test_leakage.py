"""Telling help from giving the answer away: the table, and the rules' edges."""

from __future__ import annotations

import time

import pytest

from trainers.teaching.leakage import Leak, find_leak

Q = "Tom has 12 apples and buys 6 more. How many apples has he?"
A = "I will multiply 12 by 6."

# (teaching, ground truth, question, approach); q and a mention nothing
LEAKS = [
    ("So 4 * 6 = 24 times.", "24", "q", "a"),
    ("Thus he has 14 - 12 = $2 more than she.", "2", "q", "a"),
    ("This is 12/20 x 100% = 60% of the class.", "60", "q", "a"),
    ("18", "18", Q, A),
    ("**18**", "18", Q, A),
    ("18 apples.", "18", Q, A),
    ("Think of the total.\nAns: 18", "18", Q, A),
    ("Therefore, eighteen.", "18", Q, A),
    ("(B)", "B", "q", "a"),
    ("12", "12", Q, A),
    ("It's 18.", "18", Q, A),
    ("The answer is minus eight.", "-8", "q", "a"),
    ("The answer is 1 000.", "1000", "q", "a"),
    ("Remember 12\u2009345.", "12345", "q", "a"),
    ("The answer is 1000.", "1 000", "q", "a"),
    ("The answer is ½.", "1/2", "q", "a"),
    ("The answer is about 18.", "18", Q, A),
    ("You should get approximately 18.", "18", Q, A),
    ("The answer is:\n18\nNow write it down.", "18", Q, A),
    ("**Answer:**\n\n18\n\nGood luck!", "18", Q, A),
    ("Choose b.", "B", "q", "a"),
    ("Go for B, as it is the longest.", "B", "q", "a"),
    ("Option B", "B", "q", "a"),
    ("The answer is 18.", "18", Q, A),
    ("So the final answer: 18", "18", Q, A),
    ("Final answer = 18", "18", Q, A),
    ("The answer is **18**.", "18", Q, A),
    ("The answer is $18$.", "18", Q, A),
    ("The answer should be 18 apples.", "18", Q, A),
    ("the correct answer must be eighteen", "18", Q, A),
    ("Eighteen is the correct answer.", "18", Q, A),
    ("Your answer of 18 is right.", "18", Q, A),
    ("18 is correct.", "18", Q, A),
    ("Add the two amounts: 12 + 6 = 18.", "18", Q, A),
    ("Add the amounts: 12 + 6 = 18. Mind the units.", "18", Q, A),
    (r"\boxed{18}", "18", Q, A),
    ("Write <solution>18</solution>.", "18", Q, A),
    ("<solution> 18 </solution>", "18", Q, A),
    ("#### 18", "18", Q, A),
    ("You should get 18.", "18", Q, A),
    ("Adding gives 18.", "18", Q, A),
    ("The answer is two.", "2", "q", "a"),
    ("The answer is 12.", "12", Q, A),
    ("Choose B.", "B", "q", "a"),
    ("choose option B", "B", "q", "a"),
    ("The answer is (B).", "B", "q", "a"),
    ("The correct option is B", "B", "q", "a"),
    ("I would pick (b) here", "B", "q", "a"),
    ("Choose A.", "A", "q", "a"),
    ("B is correct.", "B", "q", "a"),
    ("The profit: compute revenue first. You will see 70000 somewhere.", "70000", "q", "a"),
    ("Remember that 70,000 is a lot.", "70000", "q", "a"),
    ("Remember that 70{,}000 is a lot.", "70000", "q", "a"),
    ("Consider 125 here", "125", "q", "a"),
    ("The answer is one half.", "1/2", "q", "a"),
    (r"The answer is \frac{1}{2}.", "0.5", "q", "a"),
    (r"The answer is $\dfrac{1}{2}$.", "1/2", "q", "a"),
    (r"Recall that \frac{7}{12} matters", "7/12", "q", "a"),
    ("Recall that 7/12 matters", r"\frac{7}{12}", "q", "a"),
    ("The result is 50 percent.", "50", "q", "a"),
    ("The answer is -5.", "-5", "q", "a"),
    (r"The answer is \sqrt{2}/2", r"\sqrt{2}/2", "q", "a"),
    ("Note that x^2 + 2x + 1 factors.", "x^2+2x+1", "q", "a"),
    ("So the answer is Monday.", "Monday", "q", "a"),
    ("Answer yes.", "yes", "q", "a"),
    ("The answer is 32/4.", "8", "q", "a"),
    ("Compute 12 + 6 = 18 apples", "18", "q", "a"),
    ("The answer is (1, 2).", "(1,2)", "q", "a"),
    ("the solution is x = 7", "7", "q", "a"),
    ("Therefore, x equals 7.", "7", "q", "a"),
    ("three hundred and five coins", "305", "q", "a"),
    ("It costs $18.50 in all.", "18.5", "q", "a"),
    ("Total = 18", "18", Q, A),
]  # fmt: skip

SUSPECTED = [
    ("Buy 3 500 g bags.", "500", "q", "a"),
    ("Do not choose b.", "B", "q", "a"),
    ("The answer is\n**Step 2**\nlater.", "2", "q", "a"),
    ("Write x = 2 more than y.", "2", "q", "a"),
    ("The answer is not 18.", "18", Q, A),
    ("There are 18 ways to go wrong here.", "18", Q, A),
    ("In step 2 add the numbers.", "2", "What is 1+1?", "multiply"),
    ("First do step 1, then step 2.", "2", "What is 1+1?", "multiply"),
    ("There are two cases to consider.", "2", "What is 1+1?", "multiply"),
    ("The answer is 2 more than the first number.", "2", "What is 1+1?", "multiply"),
    ("The answer has 2 digits.", "2", "q", "a"),
    ("The 12 apples come first.", "12", Q, A),
    ("Take 12 and add.", "12", Q, A),
    ("Compare option B with option C.", "B", "q", "a"),
    ("Do not choose B.", "B", "q", "a"),
    ("Remember that 70,000 is a lot.", "70000", "he has $70,000", "a"),
    ("Consider 100 here", "100", "q", "a"),
    ("Consider 1000 here", "1000", "q", "a"),
    ("Half of it is gone.", "1/2", "q", "a"),
    ("It is 50% of it.", "50%", "q", "a"),
    ("8 - 5 apples are left.", "5", "q", "a"),
    ("Note that x^2 + 2x + 1 factors.", "x^2+2x+1", "Factor $x^2+2x+1$", "a"),
    ("Think about which day follows Sunday; Monday is a weekday", "Monday", "q", "a"),
    ("Yes, think again.", "yes", "q", "a"),
    ("Let x = 2 as given.", "2", "Let x = 2. What is x?", "a"),
    ("Compute 3*4 = 12 then 12 + 6 = 18.", "12", "q", "a"),
    ("Use x = 18 + y", "18", "q", "a"),
    ("Write 2 equations.", "2", "q", "a"),
    ("You get 2 equations from this.", "2", "q", "a"),
    ("Check whether the answer is 18.", "18", Q, "so 18"),
    ("Divide by 2", "2", "q", "a"),
    ("2\nis where to begin.", "2", "q", "a"),
    ("Two hints follow.", "2", "q", "a"),
    ("The interval is (1,2).", "(1,2)", "q", "a"),
]  # fmt: skip

INNOCENT = [
    ("The answer is 180.", "18", Q, A),
    ("The answer is 18.5.", "18", Q, A),
    ("Add: 12 + 6 = ?", "18", Q, A),
    ("Add the two amounts instead of multiplying.", "18", Q, A),
    ("Eliminate C first.", "B", "q", "a"),
    ("A careful reading helps.", "A", "q", "a"),
    ("Choose a method and go on.", "A", "q", "a"),
    ("Choose C.", "B", "q", "a"),
    ("By the way, be careful.", "B", "q", "a"),
    ("Consider 1250 or 0.125 or 3125 here", "125", "q", "a"),
    ("The answer is 5.", "-5", "q", "a"),
    ("The answer is minus eight.", "8", "q", "a"),
    ("The answer is -5.", "5", "q", "a"),
    ("Multiply 16 by 2 and divide: 32/4 in the end.", "8", "q", "a"),
    ("Nothing to see.", None, "q", "a"),
    ("", "18", "q", "a"),
    ("Version 7.2 of the rule", "7", "q", "a"),
    ("item7 and 7th place", "7", "q", "a"),
    ("The answer is 7th place", "7", "q", "a"),
]  # fmt: skip


def test_the_table_is_large_enough():
    assert len(LEAKS) + len(SUSPECTED) + len(INNOCENT) >= 60


@pytest.mark.parametrize(("teaching", "truth", "question", "approach"), LEAKS)
def test_leaks(teaching, truth, question, approach):
    leak = find_leak(teaching, truth, question, approach)
    assert leak.leaked
    assert not leak.suspected
    assert leak.reason in ("assertion", "final_equation", "distinctive")


@pytest.mark.parametrize(("teaching", "truth", "question", "approach"), SUSPECTED)
def test_suspected(teaching, truth, question, approach):
    assert find_leak(teaching, truth, question, approach) == Leak(False, True, "occurrence")


@pytest.mark.parametrize(("teaching", "truth", "question", "approach"), INNOCENT)
def test_innocent(teaching, truth, question, approach):
    assert find_leak(teaching, truth, question, approach) == Leak(False, False, None)


def test_an_assertion_leaks_even_what_question_and_approach_say():
    assert find_leak("The answer is 12345.", "12345", "Is it 12345?", "12345").reason == "assertion"


def test_a_distinctive_answer_leaks_unless_question_or_approach_say_it():
    teaching = "Look at 12345 again."
    assert find_leak(teaching, "12345", "q", "a").reason == "distinctive"
    assert find_leak(teaching, "12345", "the number 12,345", "a").suspected
    assert find_leak(teaching, "12345", "q", "I get 12345").suspected


def test_hostile_text_takes_no_time():
    started = time.perf_counter()
    for piece in (
        "answer is ",
        "18 ",
        "* ",
        "* 18 ",
        "the ",
        "= ",
        "one hundred and ",
        "{",
        "$",
        "you get ",
        "answer: : ",
    ):
        find_leak(piece * 3000 + "18", "18", piece * 1000, piece * 1000)
    assert time.perf_counter() - started < 5


def test_thousands_of_teachings_per_second():
    teaching = (
        "First read the question carefully and note the 3 quantities that are given. Then add the first two numbers, "
        "do not multiply, and divide the result by 4. Check that the total makes sense; it should be less than 100. "
    )
    started = time.process_time()
    for i in range(2000):
        find_leak(teaching, str(10 + i % 50), Q, A)
    assert 2000 / (time.process_time() - started) > 1000
