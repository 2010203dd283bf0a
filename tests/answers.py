"""Answers and whether they are right: every pair was checked by hand."""
# ruff: noqa: RUF001 - mathematics is written in these characters

# (answer, ground truth) where the answer is right
RIGHT = [
    ("42", "42"), ("0.001", ".001"), ("1/2", "0.5"), (r"\frac{1}{2}", "0.5"), (r"\frac12", "1/2"),
    (r"\dfrac{3}{4}", "0.75"), ("1,234", "1234"), ("1{,}234", "1,234"), (r"1\,234", "1234"), ("1234567", "1,234,567"),
    ("$18", "18"), ("18 dollars", "18"), ("$18.00", "$18"), (r"\$18", "18"), ("50 cents", "$0.50"),
    ("50", "50 cents"), ("18 eggs", "18"), ("18 eggs per day", "18"), ("50%", "50"), (r"50\%", "0.5"), ("0.5", "50%"),
    ("0.5%", "0.5"), ("50 percent", "50%"), (r"\frac{1}{2}\%", r"0.5\%"), ("5 cm", "5"), ("500 cm", "5 m"),
    (r"5\text{ cm}", "5 cm"), ("60 km/h", "60"), (r"90^\circ", "90"), ("90°", "90 degrees"),
    ("2 hours", "120 minutes"), ("25 cm^2", "25"), ("25 square cm", "25 cm^2"), ("−5", "-5"), ("+5", "5"),
    ("007", "7"), ("1e3", "1000"), (r"1.5 \times 10^3", "1500"), ("1.5 × 10^{3}", "1500"), ("2^{10}", "1024"),
    ("2^10", "1024"), ("2**10", "1024"), (r"0.\overline{3}", "1/3"), (r"0.1\overline{6}", "1/6"), ("0.333333", "1/3"),
    ("1 1/2", "3/2"), (r"1\frac{1}{2}", "1.5"), (r"\sqrt{2}/2", r"\frac{\sqrt{2}}{2}"),
    (r"\frac{1}{\sqrt{2}}", r"\frac{\sqrt{2}}{2}"), ("sqrt(2)", r"\sqrt{2}"), ("√2", r"\sqrt{2}"), (r"\pi", "π"),
    (r"2\pi", "2*pi"), (r"6\pi cm", r"6\pi"), ("(1,2)", "(1, 2)"), ("[1,2)", "[1, 2)"),
    (r"(-\infty, 3)", r"(-\infty,3)"), ("(-oo, 3)", r"(-\infty,3)"), ("x > 3", r"(3, \infty)"),
    (r"(3,\infty)", "x>3"), ("x >= 3", r"[3,\infty)"), ("1 < x < 2", "(1,2)"), (r"\{1,2\}", r"\{2,1\}"),
    ("{1,2}", r"\{1, 2\}"), ("1, 2", "2, 1"), ("1 and 2", "1, 2"), ("x=2 or x=3", "2, 3"), ("x = 5", "5"),
    ("5", "x=5"), ("9*2 = 18", "18"), ("B", "B"), ("(B)", "B"), ("B)", "B"), ("b", "B"), ("B. 42", "B"),
    (r"\text{(B)}", "B"), (r"\textbf{(B) } 42", "B"), ("Option B", "B"), ("(B) 42", "(B) 42"), ("42", "(B) 42"),
    ("B", "(B) 42"), ("Monday", "monday"), (r"\text{Monday}", "Monday"), ("yes", "Yes"),
    ("no solution", r"\emptyset"), ("x^2+2x+1", "(x+1)^2"), ("2x+1", "1+2x"), ("y=2x+1", "2x+1"),
    ("y = 2x+1", "y=2x+1"), ("y - 1 = 2x", "y=2x+1"), ("3+4i", "4i+3"), ("5!", "120"), (r"\binom{5}{2}", "10"),
    (r"\log_2 8", "3"), (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
    (r"\pm 2", "2, -2"), ("2:3", "4:6"), ("2:3", "2/3"), ("10^{-3}", "0.001"), ("twelve", "12"), ("forty-two", "42"),
    ("12", "twelve"), ("2.5 million", "2500000"), ("3 dozen", "36"), ("She makes $18 every day.", "18"),
    ("The answer is $18$.", "18"), ("She makes 9 * 2 = 18 dollars", "18"), (r"\boxed{18}", "18"), ("18.0", "18"),
    ("18.", "18"), ("100,000", "100000"), ("e^{x}", "e^x"), ("AB", "BA"), (r"\frac{x}{2}", "x/2"),
    ("3x^2", "3 x^{2}"), (r"(-\infty,2)\cup(3,\infty)", r"(-\infty, 2) \cup (3, \infty)"), (r"x \neq 3", r"x\ne 3"),
    (r"\mathbb{R}", r"\mathbb{R}"), ("(x-1)(x+2)", "x^2+x-2"), ("3:30 PM", "3:30 p.m."), ("1,234.50", "1234.5"),
    ("$1,000", "1000"), (r"-\frac{1}{2}", "-0.5"), (r"\frac{-1}{2}", "-1/2"), (r"\frac{10}{4}", "5/2"), ("0", "0.0"),
    ("-0", "0"), ("zero", "0"), ("3/4", ".75"), ("15 minutes", "0.25 hours"), ("15 min", "15"),
    ("5 feet", "60 inches"), (r"\$5.00 per hour", "5"), ("1e-3", ".001"), (r"x \le 3", r"(-\infty, 3]"),
    (r"(2,\infty)", "(2,∞)"), (r"-1 \le x \le 2", "[-1,2]"), (r"x \in [1,2]", "[1,2]"), ("(1, 2)", "1, 2"),
    (r"\left(\frac12, 3\right)", "(1/2, 3)"), ("(0.5, 3)", "(1/2,3)"), (r"\frac{\pi}{4}", "π/4"),
    (r"2\sqrt{3}", r"\sqrt{12}"), ("2√3", r"\sqrt{12}"), (r"\frac{3+\sqrt{5}}{2}", "(3+√5)/2"), ("e^{2}", "e^2"),
    ("1+2i", "2i+1"), ("a^2-b^2", "(a-b)(a+b)"), (r"\text{two}", "2"), ("B: 42", "B"), ("The answer is B", "B"),
    ("Saturday.", "Saturday"), ("New York", "new york"), ("true", "True"), ("two thirds", "2/3"),
    ("1, 1, 2", "{1, 2}"), ("(1, 2, 3)", "(1,2,3)"), ("(1,2),(3,4)", "(3,4),(1,2)"), ("1000", "1,000"),
    ("0.1 + 0.2", "0.3"), (r"\frac{1}{3} + \frac{1}{6}", "1/2"), ("2^{-1}", "0.5"), (r"\sqrt[3]{8}", "2"),
    (r"\infty", "∞"), ("a", "A"), ("xy", "yx"), ("100%", "1"), (r"12.5\%", "0.125"), (r"\frac{1}{8}", "12.5%"),
    ("+3", "3"), ("3-", "3"), ("one hundred and five", "105"), ("10 am", "10 a.m."),
]  # fmt: skip

# (answer, ground truth) where it is wrong
WRONG = [
    ("42", "43"), ("3.14", "3"), ("3", "3.14"), ("1/2", "2"), ("2", "1/2"), ("1/2", "1"), (".001", ".004"),
    ("1.234", "1,234"), ("18 euros", "18 dollars"), ("0.5%", "50"), ("5 cm", "5 m"), ("60 km/h", "60 mph"),
    ("25 cm^2", "25 cm"), ("-5", "5"), ("0.33", "1/3"), ("0.0000001", "0.0000002"), ("1 1/2", "11/2"),
    ("11/2", "1 1/2"), (r"\sqrt{3}", r"\sqrt{2}"), ("1.4142", r"\sqrt{2}"), ("3.14", r"\pi"), ("(1,2)", "(2,1)"),
    ("(1,2)", "[1,2]"), ("(1, 2]", "[1, 2)"), (r"x\geq 3", r"(3,\infty)"), ("1, 2", "1, 3"), ("1", "1, 2"),
    ("1, 2", "1"), (r"\{1,2\}", "(1,2)"), ("x=5", "y=5"), ("x=5", "6"), ("C", "B"), ("42", "B"), ("C", "(B) 42"),
    ("Tuesday", "Monday"), ("No", "Yes"), ("True", "False"), ("x^2+2x+1", "(x+2)^2"), ("3-4i", "3+4i"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}2\\1\end{pmatrix}"), ("2 million", "2"),
    ("12 or 18", "18"), ("either 12 or 18 dollars in total", "18"), ("3,14", "3.14"), ("5x", "5"), ("5 pi", "5"),
    ("1/0", "5"), ("2/3", "0.67"), ("0.6667", "2/3"), (r"45^\circ", r"\frac{\pi}{4}"), ("x+1", "x-1"),
    ("A and B", "A"), ("AB", "A"), ("(A)", "B"), ("York", "New York"), ("18 less than 30", "18"), ("2 thirds", "2"),
    ("(1, 2, 3)", "(1, 2)"), ("1.000", "1,000"), ("10,00", "1000"), ("x^3", "x^2"), ("|x|", "x"),
    (r"-\infty", r"\infty"), ("12 cm^3", "12 ml"), ("3 hours 20 minutes", "3"), (r"\frac{1}{0}", "1"),
    ("5 out of 10", "5"), ("a", "b"), ("x", "y"), ("12.5", "0.125"), ("six", "7"), ("10 am", "10 p.m."),
]  # fmt: skip

# (whole solution, ground truth, outcome): finding the answer
SOLUTIONS = [
    ('The answer is 18.', "18", 'correct'),
    ('Some text\n#### 18', "18", 'correct'),
    ('So \\boxed{\\frac{1}{2}}', "0.5", 'correct'),
    ('I do not know.', "18", 'wrong'),
    ('so we have 18 apples left', "18", 'wrong'),
    ('42', "42", 'correct'),
    ('<solution>12</solution> no wait <solution>18</solution>', "18", 'correct'),
    ('<solution>18', "18", 'wrong'),
    ('**Answer:** 18', "18", 'correct'),
    ('The answer is', "5", 'wrong'),
    ('<solution></solution>\\boxed{5}', "5", 'correct'),
    ('\\boxed{3} and then \\boxed{\\frac{1}{2}}', "1/2", 'correct'),
    ('Final Answer: The final answer is $5$. I hope it is correct.', "5", 'correct'),
    ('The answer is 18 because 9*2=18.', "18", 'correct'),
    ('Final answer = 12\nDone.', "12", 'correct'),
    ('The answer to the question is 12.', "12", 'correct'),
    ('Reasoning.\n\n**Final Answer:** $\\frac{3}{4}$', "0.75", 'correct'),
    ('Answer:\n12', "12", 'wrong'),
    ('yes', "yes", 'wrong'),
]  # fmt: skip

# (answer, ground truth, cause) that cannot be judged
UNSCORABLE = [
    ("5", None, "no_ground_truth"), ("5", "", "no_ground_truth"), ("5", " \n", "no_ground_truth"),
    ("5", "???", "ground_truth_unreadable"), ("9^{9^{9^{9}}}", "5", "timeout"), ("5", "7^{7^{7^{7}}} + 1", "timeout"),
]  # fmt: skip
