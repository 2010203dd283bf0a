"""Telling help from giving the answer away: the table, and the rules' edges."""

from __future__ import annotations

import time

import pytest

from custom_data.rows.choices import Choices
from trainers.teaching.leakage import Leak, find_leak, find_leak_of_any
from trainers.teaching.leaks.foreign_words import foreign_words
from trainers.teaching.lesson import Question

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

MC = "Which planet is largest?\n(A) Mars\n(B) Jupiter\n(C) Venus\n(D) the Earth"
DISGUISED = [
    # spelling
    *((f"The answer is {written}.", "42", "q", "a") for written in (
        "<b>42</b>", "_42_", "__42__", "4\u200b2", "\uff14\uff12", "\U0001d7d2\U0001d7d0", "&#52;2", r"\mathbf{42}",
        r"$\text{42}$",
        r"4\!2", "4 2", "4-2", "4\u00ad2", "\u0664\u0662", "{4}{2}", "`42`", r"\textbf{42}",
    )),
    # numerals
    *((f"The answer is {written}.", "42", "q", "a") for written in (
        "0b101010", "101010_2", "101010 in binary", "0x2a", "2A in hexadecimal", "52 in base 8", "0o52", "XLII",
        "四十二", r"4.2 \times 10^1",
    )),
    ("Take 3.5k.", "3500", "q", "a"),
    # the last step left open
    *((f"The answer is {written}.", "42", "You have 5 apples and 8 pears.", "a") for written in (
        "6*7", "41 + 1", "41 plus 1", r"6 \times 7", "43 minus one", "84/2", "one more than 41", "1 less than 43",
        "between 41 and 43", "forty plus two", "eighty-four over two", "the sum of 40 and 2", "the product of 6 and 7",
        "5 short of 47", "half of 84", "twice 21", "just above 41", "the number after 41", "50 - 8", "6 × 7",  # noqa: RUF001
    )),
    *((f"The answer is {written}.", "42", "You have 5 apples and 8 pears.", "a") for written in (
        "the number before 43",
    )),
    ("x = 6*7", "42", "q", "a"),
    ("print(6 * 7)", "42", "q", "a"),
    ("The answer is the square root of 49.", "7", "q", "a"),
    ("The answer is 2^5.", "32", "q", "a"),
    # declaratives
    *((written, "42", Q, A) for written in (
        "The crate holds 42.", "There are 42 in the end.", "You need 42 here.", "Hint: 42?", "It costs $42.",
        "The crate holds 42 apples in all.", "She has 42 left.", "In total 42.", "Goal: 42", "He earns 42.",
    )),
    # another sign, or another equation behind it
    ("Add: 12 + 6 -> 18", "18", Q, A),
    ("Add: 12 + 6 → 18.", "18", Q, A),
    ("12 + 6 is 18.", "18", Q, A),
    ("Add: 12 + 6 = 18. Check: 1 + 1 = 2.", "18", Q, A),
    ("So 8 lessons * 3 cleans per lesson = 24 times. Check: 1 + 1 = 2.", "24", "q", "a"),
    ("Dividing by 2, we get s = 8. Check: 1 + 1 = 2.", "8", "q", "a"),
    ("700 students / 1000 students * 100% is 70%.", "70", "q", "a"),
    ("First 6 * 7 = 42. Then note that 3 + 4 = 7.", "42", Q, A),
    # glued to letters
    ("See n3475 there.", "3475", "q", "a"),
    ("Look at 3475x first.", "3475", "q", "a"),
    # code and other languages
    ("print(42)", "42", "q", "a"),
    ("def f():\n    return 42", "42", "q", "a"),
    *((written, "42", "q", "a") for written in (
        "La respuesta es 42.", "Die Antwort ist 42.", "La réponse est 42", "答案是42。", "Ответ: 42",
        "La risposta è 42.", "Die Antwort ist zweiundvierzig.", "La réponse est quarante-deux.",
        "A resposta é quarenta e dois.", "La respuesta es cuarenta y dos.", "La risposta è quarantadue.",
    )),
    # choices by their content, and by ruling out the others
    ("The answer is Jupiter.", "B", MC, A),
    ("The correct one is Jupiter.", "B", MC, A),
    ("Rule out A, C and D.", "B", MC, A),
    ("It is not (A). It cannot be C or D.", "B", MC, A),
    ("The answer is 42.", "C", "How many? A) 40 B) 41 C) 42 D) 43", A),
    ("The answer is 42.", "(C) 42", "How many?", A),
    ("Choose C.", "(C) 42", "How many?", A),
    # an example with the question's own numbers
    ("For example, 12 + 6 = 18.", "18", Q, A),
]  # fmt: skip

# The questions of AQuA, MMLU and their like: options below, as `data=` writes them, and a request.
OFFERED = {
    "B": ["21", "21.5", "22", "22.5"],
    "A": ["60 km/hr", "62 km/hr", "64 km/hr"],
    "D": ["Rs. 400", "Rs. 300", "$500", "None of these"],
    "C": ["12 days", "13 days", "14 4/7 days", "8"],
}
MORE_OFFERED = {
    "A": ["3 < x < 5", "x > 3", "x = 3", "-1"],
    "B": ["25%", "33 1/3%", "40%"],
    "C": ["The nucleus.", "The ribosome.", "The mitochondrion."],
    "D": ["Both A and B are true", "Only the first is true, the second is false", "Neither", "True, False"],
}
SAYING = (
    "The answer is {}.", "So the correct option is {}", "It is {}.", "You should choose {}.", "Hence we get {}.",
    "Pick the option that says {}.", 'The right one is "{}".', "I think it's {}.", "Go with {}.",
)  # fmt: skip

SUSPECTED = [
    ("Never think 18.", "18", Q, A),
    ("Not a hint: 18.", "18", Q, A),
    # The question begins with the result.
    ("12 + 6 = 18.", "18", "= 18: which sum of 12 is that?", "a"),
    ("For example, 3 + 4 = 7. Do the same.", "7", Q, A),
    ("A similar problem: 5 boxes of 8 make 5 * 8 = 40. Now do yours.", "40", Q, A),
    ("Suppose there were 10 and 8: then 10 + 8 = 18. Here it is the same.", "18", Q, A),
    ("1. Read.\n2. Plan.\n3. Compute.", "3", "q", "a"),
    ("Give the answer, rounded to 2 places.", "2", "q", "a"),
    ("For example, 3 + 4 = 7 there. Here add 12 + 6 = ?", "7", Q, A),
    ("There are 2 cases.", "2", "q", "a"),
    ("She has 2 options to weigh.", "2", "q", "a"),
    ("First 3 * 4 = 12, then 12 + 6 = ?", "12", "q", "a"),
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
    # Far from both ends of its line it does not stand alone.
    (f"{'Look at each of the sums. ' * 5}Take 12 and add. {'Then look at them again. ' * 5}", "12", Q, A),
    ("Compare option B with option C.", "B", "q", "a"),
    ("Do not choose B.", "B", "q", "a"),
    ("Remember that 70,000 is a lot.", "70000", "he has $70,000", "a"),
    ("Remember that 12345 is a lot.", "12345", "he has 12\u202f345 dollars", "a"),
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
    ("Take the sum of 12 and 6.", "18", Q, A),
    ("You seize the chance once.", "16", "q", "a"),
    ("Die Antwort ist einundvierzig.", "42", "q", "a"),
    ("Think of Mars and Jupiter: which has more mass?", "B", MC, A),
    ("It is Jupiter, as you say, or is it?", "B", MC, "I think of Jupiter."),
    ("The answer is 12 + 6.", "18", Q, A),
    ("Take 6 more than 12.", "18", Q, A),
    ("The answer is 12 less than something.", "18", Q, A),
    ("Rule out A and C first.", "B", MC, A),
    # Of two options no elimination is told from a doubt.
    ("Ask why A might be wrong.", "B", "Is it prime? (A) yes (B) no", A),
    ("Nothing of either is wrong.", "B", "Is it prime? (A) yes (B) no", A),
    # No power of whole numbers: its value is not 4 to the power of 0.
    ("The answer is 4^0.5.", "1", "q", "a"),
    ("Compare Mars and Venus; neither A nor C.", "B", MC, A),
    ("Multiply: 6 * 7, where the crates stand in two rows.", "42", "q", "a"),
    ("Give the area of a circle with r_2.", "5", "q", "a"),
    ("MILD and CIVIL words.", "1000", "q", "a"),
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


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("dreizehn", 13), ("dreißig", 30), ("dreissig", 30), ("neunundneunzig", 99), ("vingt et un", 21),
        ("soixante-dix-sept", 77), ("quatre-vingts", 80), ("quatre-vingt-dix-neuf", 99), ("soixante et onze", 71),
        ("dieciséis", 16), ("dieciseis", 16), ("veintidos", 22), ("noventa y nueve", 99), ("ventotto", 28),
        ("cinquantatré", 53), ("trentuno", 31), ("dezenove", 19), ("vinte e três", 23),
    ],
)  # fmt: skip
def test_number_words_of_other_languages(word, value):
    assert [found for _, _, found in foreign_words(f"nun, {word}!")] == [value]


def test_the_table_is_large_enough():
    assert len(LEAKS) + len(SUSPECTED) + len(INNOCENT) >= 60


@pytest.mark.parametrize(("teaching", "truth", "question", "approach"), [*LEAKS, *DISGUISED])
def test_leaks(teaching, truth, question, approach):
    leak = find_leak(teaching, truth, question, approach)
    assert (leak.leaked, leak.suspected) == (True, False)
    assert leak.reason in ("assertion", "final_equation", "distinctive")


@pytest.mark.parametrize(("teaching", "truth", "question", "approach"), SUSPECTED)
def test_suspected(teaching, truth, question, approach):
    assert find_leak(teaching, truth, question, approach) == Leak(False, True, "occurrence")


@pytest.mark.parametrize(("teaching", "truth", "question", "approach"), INNOCENT)
def test_innocent(teaching, truth, question, approach):
    assert find_leak(teaching, truth, question, approach) == Leak(False, False, None)


@pytest.mark.parametrize("saying", SAYING)
@pytest.mark.parametrize("offered", [OFFERED, MORE_OFFERED])
def test_the_text_of_the_right_option_gives_it_away_and_that_of_a_wrong_one_does_not(saying, offered):
    for letter, texts in offered.items():
        question = Choices(tuple(texts), ()).below("Which is right?")
        for index, text in enumerate(texts):
            leaked = find_leak(saying.format(text.rstrip(".")), letter, question, A).leaked
            assert leaked is (index == "ABCD".index(letter)), (text, letter)


def test_every_accepted_answer_is_looked_for():
    question = Question(0, Q, "18", {"accepted_answers": ["18", "20"]})
    assert find_leak_of_any("The answer is 18.", question, A).leaked
    assert find_leak_of_any("The answer is 20.", question, A).leaked
    assert not find_leak_of_any("The answer is 20.", Question(0, Q, "18"), A).leaked
    assert find_leak_of_any("In step 20, add.", question, A).suspected
    assert find_leak_of_any("The answer is 18.", Question(0, Q, None), A) == Leak(False, False, None)


def test_an_assertion_leaks_even_what_question_and_approach_say():
    assert find_leak("The answer is 12345.", "12345", "Is it 12345?", "12345").reason == "assertion"


def test_a_distinctive_answer_leaks_unless_question_or_approach_say_it():
    teaching = "Look at 12345 again."
    assert find_leak(teaching, "12345", "q", "a").reason == "distinctive"
    assert find_leak(teaching, "12345", "the number 12,345", "a").suspected
    assert find_leak(teaching, "12345", "q", "I get 12345").suspected


def test_hostile_text_takes_no_time():
    started = time.process_time()
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
        "6*7 + ",
        "4 2 ",
        "0b1 ",
        "_",
        "12 + 6 = ",
        "<b>",
        "(A) not ",
        "there are ",
        "example 3 + 4 = ",
    ):
        find_leak(piece * 3000 + "18", "18", piece * 1000, piece * 1000)
    assert time.process_time() - started < 5


def test_thousands_of_teachings_per_second():
    teaching = (
        "First read the question carefully and note the 3 quantities that are given. Then add the first two numbers, "
        "do not multiply, and divide the result by 4. Check that the total makes sense; it should be less than 100. "
    )
    started = time.process_time()
    for i in range(2000):
        find_leak(teaching, str(10 + i % 50), Q, A)
    assert 2000 / (time.process_time() - started) > 1000
