"""The two ways to run an explanation: eagerly, and compiled.

A request and checked inputs enter; an `Outcome` leaves. They never know files or pictures.
"""
