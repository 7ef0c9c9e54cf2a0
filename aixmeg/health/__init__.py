"""`aixmeg health`: is every node of this job fit to train on?"""
